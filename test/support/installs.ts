/** An install for parts that only have to know one. */
import { Install } from "../../runtime/domain/install/Install.ts"
import { InstallName } from "../../runtime/domain/sandbox/Ids.ts"

/** Nothing of it answers anywhere. */
export const exampleInstall: Install = Install.make({
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  bridgeUrl: "http://127.0.0.1:1",
  bridgeHost: "127.0.0.1",
  slackApiUrl: "http://127.0.0.1:1/api/",
  local: true
})
