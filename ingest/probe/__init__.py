"""The probe: captured segments on their way to Kafka."""
