/** The part of the SDK that is used of SSM, in a file of its own so that it is loaded by the first call only. */
export {
  DeleteParametersCommand,
  GetParameterCommand,
  GetParametersByPathCommand,
  PutParameterCommand,
  SSMClient
} from "@aws-sdk/client-ssm"
