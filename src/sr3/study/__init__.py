"""The paper's human study: subjects compare a photograph with the output of a model."""
