"""Rules and dashboards as code: `make observability` writes the files beside this folder."""
