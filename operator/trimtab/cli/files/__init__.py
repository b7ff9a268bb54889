"""The one reader of manifests: files to text, text to documents with the place of every key, documents to objects that
are checked as the API server checks them. Nothing else in the CLI reads YAML."""
