"""A Space of the Hugging Face Hub (docs/how-to/web.md)."""

import sr3.web

sr3.web.serve_space()
