"""The paper's human study: two images side by side, one a photograph, the other a model's."""
