"""Sharing models: their cards, and uploads to the Hugging Face Hub."""
