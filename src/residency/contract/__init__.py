"""What all rooms agree on: schema, codes, identifiers, lineage, questions, reports, plugins, errors."""
