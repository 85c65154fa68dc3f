/** Flags of every command that say which install to work on; read by `Configuration.ts`, and cheap for `km --help`. */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"

/** On every command: which install to work on. */
export const StateFlag = GlobalFlag.Setting("state")({
  flag: Flag.String("state").pipe(
    Flag.optional,
    Flag.withMetavar("DIR"),
    Flag.withDescription("State directory (KM_STATE)")
  )
})

/** On every command: the configuration file instead of `./km.config.yaml`. */
export const ConfigFlag = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.optional,
    Flag.withMetavar("FILE"),
    Flag.withDescription("Configuration file (KM_CONFIG)")
  )
})

/** On every command: another install of this account, by its name; its state lies beside the first one's. */
export const InstallFlag = GlobalFlag.Setting("install")({
  flag: Flag.String("install").pipe(
    Flag.optional,
    Flag.withMetavar("NAME"),
    Flag.withDescription(
      "Another install of this account, by name; state in ~/.local/state/km-NAME unless --state says where"
    )
  )
})
