/** Where the source raises a code by its number, outside the tables that say what it means. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Files of the tables, whose numbers are entries; where an entry has a name, its uses say that name instead. */
const isTable = (file: string): boolean =>
  /(?:ErrorCodes|Errors|PostCodes|SlackCodes|KmError|ProfileErrors)\.ts$/.test(file)

/** Code → how often, wherever that is, so that files may move; comments aside. */
export const codeUses = (): ReadonlyMap<string, number> => {
  const uses = new Map<string, number>()
  for (const room of ["runtime", "plugins", "hooks", "bridge", "km-cli"]) {
    for (const entry of fs.readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts") || isTable(entry.name)) continue
      const source = fs.readFileSync(path.join(entry.parentPath, entry.name), "utf8")
      const code = source.split("\n").filter((line) => !/^\s*(\/?\*|\/\/)/.test(line)).join("\n")
      for (const [found] of code.matchAll(/\bKM-[A-Z]{3}-\d{3}\b/g)) {
        uses.set(found, (uses.get(found) ?? 0) + 1)
      }
    }
  }
  return new Map([...uses].toSorted())
}

/**
 * The uses that were read against their code's sentence, by number. Where a line is other than here there is one to
 * read: the sentence in `docs/errors.md` must be true of it.
 */
export const readUses = `
KM-AGT-091 1
KM-AGT-092 1
KM-AGT-093 1
KM-CLI-001 38
KM-CLI-002 1
KM-CLI-003 2
KM-CLI-005 4
KM-CLI-006 5
KM-CLI-007 2
KM-CLI-008 1
KM-CLI-009 10
KM-CLI-010 10
KM-CLI-011 2
KM-CLI-012 3
KM-CLI-013 1
KM-CLI-014 1
KM-CLI-015 4
KM-CLI-016 2
KM-CLI-017 2
KM-CLI-018 2
KM-CLI-019 2
KM-CLI-020 2
KM-CLI-021 7
KM-CLI-022 1
KM-CLI-023 4
KM-CLI-024 1
KM-CLI-025 1
KM-CLI-026 2
KM-CLI-028 1
KM-CLI-029 1
KM-CLI-030 1
KM-CLI-031 2
KM-CLI-033 2
KM-CLI-034 3
KM-CLI-035 1
KM-CLI-040 1
KM-CLI-041 1
KM-CLI-042 1
KM-CLI-047 2
KM-CLI-050 1
KM-CLI-051 2
KM-CLI-052 1
KM-CLI-053 1
KM-CLI-054 1
KM-CLI-055 1
KM-CLI-099 1
KM-CLI-101 2
KM-CLI-102 2
KM-CLI-103 2
KM-CLI-104 1
KM-CLI-105 2
KM-CLI-106 1
KM-CLI-107 1
KM-EML-030 3
KM-EML-101 3
KM-EML-102 1
KM-EML-103 2
KM-EML-104 2
KM-EML-105 6
KM-EML-106 7
KM-EML-107 2
KM-EML-108 1
KM-EML-109 4
KM-EML-110 4
KM-EML-111 1
KM-EML-112 1
KM-EML-113 1
KM-EML-114 2
KM-EML-115 1
KM-EML-121 1
KM-ENG-001 1
KM-ENG-002 1
KM-ENG-003 1
KM-ENG-004 1
KM-ENG-005 5
KM-ENG-006 4
KM-ENG-007 2
KM-ENG-008 4
KM-ENG-009 1
KM-ENG-015 1
KM-GHA-001 5
KM-GHA-002 2
KM-GHA-003 1
KM-GHA-004 1
KM-GHA-005 1
KM-GHA-010 3
KM-GHA-011 1
KM-GHA-012 1
KM-GHA-013 1
KM-GHA-014 1
KM-GHA-015 1
KM-GHA-016 1
KM-GHA-020 1
KM-GHA-021 1
KM-GHA-022 1
KM-GHA-023 1
KM-GHA-024 1
KM-GHA-025 1
KM-GHA-026 1
KM-HST-101 1
KM-HST-102 4
KM-HST-103 1
KM-HST-201 1
KM-HST-202 1
KM-HST-203 1
KM-HST-204 2
KM-HST-205 1
KM-IDN-101 2
KM-IDN-102 2
KM-IDN-103 9
KM-IDN-104 2
KM-MDL-006 1
KM-PRO-003 1
KM-PRO-004 1
KM-PRO-005 1
KM-PRO-010 1
KM-PRO-011 1
KM-PRO-012 1
KM-PRO-013 1
KM-PRO-014 1
KM-PRO-015 1
KM-PRO-016 1
KM-PRO-017 1
KM-PRO-018 1
KM-PRO-019 1
KM-PRO-020 1
KM-PRO-021 1
KM-PRO-022 1
KM-PRO-040 1
KM-PRO-041 1
KM-PRO-042 1
KM-PRO-043 1
KM-PRO-101 1
KM-PRO-102 1
KM-PRO-103 1
KM-PRO-104 1
KM-PRO-105 1
KM-PRO-106 1
KM-PRO-107 1
KM-PRO-108 1
KM-PRO-109 1
KM-PRO-110 1
KM-PRO-111 1
KM-PRO-112 1
KM-PRO-113 1
KM-PRO-114 1
KM-SCH-001 20
KM-SCH-002 4
KM-SCH-003 11
KM-SCH-004 3
KM-SCH-005 1
KM-SCH-006 7
KM-SCH-010 2
KM-SCH-011 2
KM-SCH-012 3
KM-SCH-013 4
KM-SCH-020 6
KM-SCH-021 3
KM-SCH-022 4
KM-SCH-023 1
KM-SCH-024 1
KM-SCH-025 1
KM-SCH-026 1
KM-SCH-027 3
KM-SCH-028 2
KM-SLK-002 2
KM-SLK-003 2
KM-SLK-004 1
KM-SLK-005 1
KM-SLK-008 1
KM-SLK-011 1
KM-SLK-039 1
KM-SLK-101 3
KM-SLK-102 1
KM-SLK-103 1
KM-SLK-104 2
KM-SLK-105 2
KM-SLK-106 5
KM-SLK-107 4
KM-SLK-108 4
KM-SLK-109 9
KM-SLK-110 4
KM-SLK-111 2
KM-SLK-112 2
KM-SLK-113 1
KM-SLK-114 2
KM-SLK-115 2
KM-SLK-116 2
KM-SLK-117 2
KM-SLK-118 3
KM-SLK-119 2
KM-SLK-121 1
KM-SLK-122 1
KM-SLK-123 4
KM-SLK-124 3
KM-SLK-125 2
KM-SLK-126 1
KM-SLK-127 1
KM-SLK-128 1
KM-SLK-129 1
KM-SLK-130 2
KM-SLK-131 1
KM-SLK-132 1
KM-SLK-133 6
KM-SLK-134 4
KM-SLK-135 6
KM-SLK-136 1
KM-SLK-137 1
KM-SLK-138 2
KM-SLK-139 1
KM-SLK-140 2
KM-SLK-141 3
KM-SLK-142 3
KM-SLK-143 2
KM-SLK-144 1
KM-SLK-201 1
KM-SLK-202 1
KM-SLK-301 2
KM-SLK-302 1
KM-SLK-303 1
KM-SLK-304 1
KM-SLK-305 1
KM-SLK-311 3
KM-SLK-312 3
KM-SLK-313 1
KM-SLK-314 3
KM-SLK-315 2
KM-SLK-316 3
KM-SLK-317 2
KM-SLK-318 4
KM-SLK-319 2
KM-TRN-001 2
KM-TRN-002 2
KM-TRN-003 1
KM-TRN-004 2
KM-TRN-005 1
KM-TRN-006 1
KM-TRN-007 1
KM-TRN-008 1
KM-TRN-009 1
KM-TRN-010 2
KM-TRN-020 1
KM-TRN-021 1
`.trim().split("\n")
