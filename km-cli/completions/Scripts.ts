/**
 * The completion scripts. Each reads the line up to the cursor into a path of commands, the arguments given and the flag
 * that waits for its value, and looks that place up. Names are asked of the very program that is typed, an alias
 * included, with the `--state`, `--config` and `--install` of the line; a word in which a shell would run something is never run.
 */
import type { Ask, Place, Places, Word } from "./Places.ts"

/** One arm of a `case`: the place, and the statements there. */
interface Arm {
  readonly where: string
  readonly does: ReadonlyArray<string>
}

const arms = (places: Places, does: (place: Place) => ReadonlyArray<string>): ReadonlyArray<Arm> => [
  ...[...places.at].map(([where, place]) => ({ where, does: does(place) })),
  ...[...places.global].map(([flag, place]) => ({ where: flag, does: does(place) }))
]

/** Single quotes, which end no word of ours in any of the three shells. */
const quoted = (text: string): string => `'${text.replaceAll("'", "")}'`

const listed = (words: ReadonlyArray<Word>): string => words.map(({ word }) => word).join(" ")

/** A place of one command, or of a global flag of any. */
const pattern = (where: string): string => where.startsWith("--") ? `*"|${where}"` : `"${where}"`

const alternatives = (words: ReadonlyArray<string>): string => words.map((word) => `"${word}"`).join("|")

/** The actions of a schedule are the words after its time. */
const ofActions = `"at|2") place="at $second|2" ;;
    "at|3") place="at $second $third|3" ;;`

const asks: Readonly<Record<Ask, ReadonlyArray<string>>> = {
  names: ["_km_ask names"],
  schedules: ["_km_ask schedules"],
  mailboxes: ["words+=(operator)", "_km_ask names"],
  deliveries: ["[[ -n $first ]] || { words+=(operator); _km_ask names; }", "_km_ask deliveries \"${first:-operator}\""]
}

const bashArm = ({ ask, files, words }: Place): ReadonlyArray<string> => [
  ...words.length > 0 ? [`words+=(${listed(words)})`] : [],
  ...ask === undefined ? [] : asks[ask],
  // Readline's own completion of files, which knows quotes and blanks.
  ...files === undefined ? [] : [
    `[[ $cur == -* || -n $stuck ]] || { compopt -o ${
      files === "file" ? "default" : "dirnames"
    } 2>/dev/null; return 0; }`
  ]
]

const bashCases = (list: ReadonlyArray<Arm>): string =>
  list.map(({ does, where }) => `    ${pattern(where)}) ${does.join("; ")} ;;`).join("\n")

export const bash = (places: Places): string =>
  `# km completions for bash: source <(km completions bash)
# Behind an alias of another name: complete -F _km NAME
_km_ask() {
  local found
  [[ -n $unsafe ]] && return
  while IFS= read -r found; do words+=("$found"); done < <(eval "$program completions $* $options" 2>/dev/null </dev/null)
}
_km() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" program="\${COMP_WORDS[0]}" path="" options="" flag="" stuck="" unsafe="" word i
  local first="" second="" third="" place count=0 runs='[][\`$;&|<>(){}*?!#]'
  local -a words=()
  COMPREPLY=()
  if [[ -n \${BASH_ALIASES[$program]+set} ]]; then program="\${BASH_ALIASES[$program]}"
  elif [[ $program =~ $runs ]]; then unsafe=1; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ -n $flag ]]; then
      [[ $word == "=" ]] && continue
      case $flag in --state|--config|--install) options+=" $flag $word"; [[ $word =~ $runs ]] && unsafe=1 ;; esac
      flag=""
      continue
    fi
    case $word in
      --state=*|--config=*|--install=*) options+=" $word"; [[ $word =~ $runs ]] && unsafe=1 ;;
      ${alternatives(places.valued)}) flag="$word" ;;
      -*) ;;
      *)
        if ((count == 0)); then
          case "\${path:+$path }$word" in
            ${alternatives(places.commands)}) path="\${path:+$path }$word"; continue ;;
          esac
        fi
        case $count in 0) first="$word" ;; 1) second="$word" ;; 2) third="$word" ;; esac
        [[ $count == 0 && $path == "email read" && $word =~ $runs ]] && unsafe=1
        ((count += 1)) ;;
    esac
  done
  # Readline cuts words at "=", unless it was told not to.
  if [[ -n $flag && $cur == "=" ]]; then cur=""
  elif [[ -z $flag && $cur == --*=* ]]; then flag="\${cur%%=*}"; stuck="$flag="; cur="\${cur#*=}"; fi
  place="$path|\${flag:-$count}"
  case $place in
    ${ofActions}
  esac
  case $place in
${bashCases(arms(places, bashArm))}
  esac
  if [[ -z $flag ]] && [[ $cur == -* || \${#words[@]} == 0 ]]; then
    words=()
    case $path in
${[...places.flags].map(([path, flags]) => `      "${path}") words+=(${listed(flags)}) ;;`).join("\n")}
    esac
  fi
  for word in "\${words[@]}"; do [[ $word == "$cur"* ]] && COMPREPLY+=("$stuck$word"); done
}
complete -F _km km`

const zshArm = ({ ask, files, words }: Place): ReadonlyArray<string> => [
  ...words.length > 0 ? [`found+=(${listed(words)})`] : [],
  ...ask === undefined ? [] : asks[ask].map((step) => step.replaceAll("words+=", "found+=")),
  ...files === undefined ? [] : [`[[ $PREFIX == -* ]] || { ${files === "file" ? "_files" : "_files -/"}; return; }`]
]

// `path` and `words` have meanings of their own in zsh. What is expanded before completion, an alias, is found again by
// its words; `_compskip` keeps the completion of the program behind it from adding its own.
export const zsh = (places: Places): string =>
  `#compdef km -p *
# km completions for zsh: source <(km completions zsh)
_km_ask() { found+=("\${(@f)$("\${program[@]}" completions "$@" "\${options[@]}" 2>/dev/null </dev/null)}") }
_km() {
  local cmd="" flag="" word name value first="" second="" third="" place count=0 behind=0
  local -a program options found said line
  line=("\${(@Q)words[1,CURRENT-1]}")
  program=("\${line[1]/#\\~\\//$HOME/}")
  # By its name, where aliases are not expanded, or by its words.
  if [[ -n \${aliases[\${line[1]}]-} ]]; then program=("\${(@Q)\${(@z)aliases[\${line[1]}]}}"); fi
  for name value in "\${(@kv)aliases}"; do
    said=("\${(@Q)\${(@z)value}}")
    while [[ \${said[1]-} == [A-Za-z_]*=* ]]; do shift said; done
    if [[ $name == km || -n \${(M)said:#(km|*/km|*/km.mjs)} ]] && (( $#said > behind && $#line >= $#said )) &&
      [[ \${(pj:\\0:)line[1,$#said]} == \${(pj:\\0:)said} ]]; then
      program=("\${(@Q)\${(@z)value}}")
      behind=$#said
    fi
  done
  if (( behind == 0 )); then
    [[ \${line[1]:t} == km || -n \${(M)program:#(km|*/km|*/km.mjs)} || $service == km ]] || return 1
    behind=1
  fi
  while [[ \${program[1]} == [A-Za-z_]*=* ]]; do program=(env "\${program[@]}"); break; done
  _compskip=all
  for word in "\${(@)line[behind+1,-1]}"; do
    if [[ -n $flag ]]; then
      case $flag in --state|--config|--install) options+=("$flag" "\${word/#\\~\\//$HOME/}") ;; esac
      flag=""
      continue
    fi
    case $word in
      --state=*|--config=*|--install=*) options+=("$word") ;;
      ${alternatives(places.valued)}) flag="$word" ;;
      -*) ;;
      *)
        if (( count == 0 )); then
          case "\${cmd:+$cmd }$word" in
            ${alternatives(places.commands)}) cmd="\${cmd:+$cmd }$word"; continue ;;
          esac
        fi
        case $count in 0) first="$word" ;; 1) second="$word" ;; 2) third="$word" ;; esac
        (( count += 1 )) ;;
    esac
  done
  if [[ -z $flag && $PREFIX == --*=* ]]; then flag="\${PREFIX%%=*}"; compset -P '*='; fi
  place="$cmd|\${flag:-$count}"
  case $place in
    ${ofActions}
  esac
  case $place in
${arms(places, zshArm).map(({ does, where }) => `    ${pattern(where)}) ${does.join("; ")} ;;`).join("\n")}
  esac
  if [[ -z $flag ]] && [[ $PREFIX == -* || $#found == 0 ]]; then
    found=()
    case $cmd in
${[...places.flags].map(([path, flags]) => `      "${path}") found+=(${listed(flags)}) ;;`).join("\n")}
    esac
  fi
  compadd -- "\${(@)found:#}"
}
# Read by the shell, or loaded at the first use.
if [[ \${funcstack[1]-} == _km ]]; then _km "$@"; else compdef _km km -p '*'; fi`

const fishWords = (words: ReadonlyArray<Word>): string =>
  words.map(({ help, word }) => quoted(help === "" ? word : `${word}\t${help.split(/[.;:]/)[0] ?? ""}`)).join(" ")

const fishAsks: Readonly<Record<Ask, ReadonlyArray<string>>> = {
  names: ["__km_ask names"],
  schedules: ["__km_ask schedules"],
  mailboxes: ["echo operator", "__km_ask names"],
  deliveries: [
    "set -q given[1]; and __km_ask deliveries $given[1]; or begin; echo operator; __km_ask names; __km_ask deliveries operator; end"
  ]
}

const fishArm = ({ ask, files, words }: Place): ReadonlyArray<string> => [
  ...words.length > 0 ? [`printf '%s\\n' ${fishWords(words)}`] : [],
  ...ask === undefined ? [] : fishAsks[ask],
  ...files === undefined
    ? []
    : [files === "file" ? "__fish_complete_path $current" : "__fish_complete_directories $current"]
]

const fishPattern = (where: string): string => where.startsWith("--") ? `'*|${where}'` : quoted(where)

export const fish = (places: Places): string =>
  `# km completions for fish: km completions fish | source
function __km_complete
  set -l tokens (commandline -opc)
  set -l current (commandline -ct)
  set -g __km_program $tokens[1]
  set -g __km_options
  set -l path ''
  set -l given
  set -l flag ''
  for word in $tokens[2..-1]
    if test -n "$flag"
      contains -- $flag --state --config --install; and set -a __km_options $flag $word
      set flag ''
      continue
    end
    switch $word
      case '--state=*' '--config=*' '--install=*'
        set -a __km_options $word
      case ${places.valued.map(quoted).join(" ")}
        set flag $word
      case '-*'
      case '*'
        set -l longer (string trim -- "$path $word")
        if not set -q given[1]; and contains -- $longer ${places.commands.map(quoted).join(" ")}
          set path $longer
        else
          set -a given $word
        end
    end
  end
  set -l stuck ''
  if test -z "$flag"; and string match -q -- '--*=*' $current
    set flag (string split -m1 = -- $current)[1]
    set current (string split -m1 = -- $current)[2]
    set stuck "$flag="
  end
  set -l place "$path|$flag"
  test -z "$flag"; and set place "$path|"(count $given)
  switch $place
    case 'at|2'
      set place "at $given[2]|2"
    case 'at|3'
      set place "at $given[2] $given[3]|3"
  end
  set -l found (__km_place $place $current $given)
  if test -z "$flag"; and begin; string match -q -- '-*' $current; or not set -q found[1]; end
    set found (__km_flags $path)
  end
  for word in $found
    echo $stuck$word
  end
end
function __km_ask
  $__km_program completions $argv $__km_options 2>/dev/null </dev/null
end
function __km_place
  # As typed, perhaps within a quote that is still open.
  set -l current (string unescape -- $argv[2]; or string unescape -- $argv[2]'"'; or string unescape -- $argv[2]"'"; or echo $argv[2])
  set -l given $argv[3..-1]
  switch $argv[1]
${
    arms(places, fishArm).map(({ does, where }) =>
      `    case ${fishPattern(where)}\n${does.map((step) => `      ${step}`).join("\n")}`
    ).join("\n")
  }
  end
end
function __km_flags
  switch $argv[1]
${
    [...places.flags].map(([path, flags]) => `    case ${quoted(path)}\n      printf '%s\\n' ${fishWords(flags)}`).join(
      "\n"
    )
  }
  end
end
complete -c km -f -a '(__km_complete)'`
