"""What a model is worth: probes, neighbours, retrieval, relation scores, fine-tuning; and the report of these."""
