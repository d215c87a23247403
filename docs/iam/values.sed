# What stands for the placeholders: put your own names in the place of these. Used by: sed -f values.sed FILE
# Ours, the processor's
s|@ACCOUNT@|111122223333|g
s|@PROCESSOR_ROLE@|arn:aws:iam::111122223333:role/prio-processor|g
s|@INGESTION_BUCKET@|example-pha-ingestion|g
s|@OWN_VALIDATIONS_BUCKET@|example-pha-own-validations|g
s|@PEER_VALIDATIONS_BUCKET@|example-pha-peer-validations|g
s|@STATE_BUCKET@|example-pha-state|g
# The peer's: the role that writes into our bucket, and the bucket that we write into
s|@PEER_ROLE@|arn:aws:iam::444455556666:role/prio-processor|g
s|@PEER_BUCKET@|example-facilitator-peer-validations|g
# The ingestor's role, and the other processor's bucket that it writes into, too
s|@INGESTOR_ROLE@|arn:aws:iam::777788889999:role/prio-ingestor|g
s|@OTHER_INGESTION_BUCKET@|example-facilitator-ingestion|g
# The portal's: the bucket for our sum parts, the one for the other processor's, and the one for the statistics
s|@SUM_PARTS_BUCKET@|example-portal-pha-sum-parts|g
s|@OTHER_SUM_PARTS_BUCKET@|example-portal-facilitator-sum-parts|g
s|@STATISTICS_BUCKET@|example-portal-statistics|g
# Only for a role that somebody else assumes: that role, who assumes it, the bucket that it writes, the word agreed on
s|@WRITER_ROLE@|arn:aws:iam::444455556666:role/prio-writer|g
s|@ASSUMING_ROLE@|arn:aws:iam::111122223333:role/prio-processor|g
s|@WRITTEN_BUCKET@|example-facilitator-peer-validations|g
s|@EXTERNAL_ID@|example-external-id|g
# Only for web identity: the issuer without https://, and the Kubernetes service account
s|@OIDC_PROVIDER@|oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE|g
s|@SERVICE_ACCOUNT@|system:serviceaccount:prio:processor|g
