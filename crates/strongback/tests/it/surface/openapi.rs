//! The OpenAPI document: whole, and true to the table.
