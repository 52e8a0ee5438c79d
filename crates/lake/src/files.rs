//! Queries over Parquet files that the caller names, into a Parquet file: for benchmarks, which compare with programs that read
//! and write files. Tables are queried by [`crate::query`], which knows who may read what.

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    catalog::{CatalogProvider as _, MemoryCatalogProvider, MemorySchemaProvider},
    dataframe::{DataFrame, DataFrameWriteOptions},
    prelude::ParquetReadOptions,
};

use crate::{
    asof,
    engine::{Lake, Task},
    error::{Error, Result},
    query,
};

impl Lake {
    /// Runs a query over files, each under the name that the statement gives it, and writes the answer. Answers its rows.
    pub fn query_files(&self, text: &str, files: Vec<(String, PathBuf)>, out: PathBuf) -> Task<u64> {
        let (lake, statement) = (self.clone(), query::read(text));
        self.run(async move {
            let session = lake.session()?;
            let catalog = MemoryCatalogProvider::new();
            catalog.register_schema("default", Arc::new(MemorySchemaProvider::new()))?;
            session.register_catalog("main", Arc::new(catalog));
            for (name, path) in files {
                session.register_parquet(name, shown(&path)?, ParquetReadOptions::default()).await?;
            }
            let mut parsed = statement?.parsed;
            asof::rewrite(&mut parsed)?;
            let plan = session.state().statement_to_plan(parsed).await?;
            let options = DataFrameWriteOptions::new().with_single_file_output(true);
            let written =
                DataFrame::new(session.state(), plan).write_parquet(shown(&out)?, options, None).await?;
            let counts = written.into_iter().flat_map(|batch| {
                let counts = datafusion::common::cast::as_uint64_array(batch.column(0)).cloned();
                counts.map(|counts| counts.iter().flatten().sum::<u64>())
            });
            Ok(counts.sum())
        })
    }
}

fn shown(path: &std::path::Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::invalid(format!("The path {} is no UTF-8.", path.display())))
}
