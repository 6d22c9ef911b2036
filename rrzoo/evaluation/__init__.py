"""What a model is worth: probes, neighbours, retrieval, relation scores, fine-tuning; records and reports of these."""
