"""Rules and dashboards as code: `make observability` writes what stands beside this folder."""
