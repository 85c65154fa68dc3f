/** The part of the SDK that makes an account's tables and bucket, in a file of its own: no process but `km` needs it. */
export {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  UpdateTimeToLiveCommand
} from "@aws-sdk/client-dynamodb"
export {
  CreateBucketCommand,
  HeadBucketCommand,
  PutBucketLifecycleConfigurationCommand,
  PutPublicAccessBlockCommand,
  S3Client
} from "@aws-sdk/client-s3"
