"""The reference application: four real feeds, from files to scored tables in DuckDB, through five penstock stages."""
