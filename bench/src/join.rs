//! `strongback-join`: our side of `bench/join.py`, a process that joins two Parquet files into a third.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lake::{Lake, Limits, Root};

/// Runs a query over `l.parquet` and `r.parquet` of a folder and writes `out.parquet` there.
#[derive(Debug, Parser)]
struct Options {
    /// The folder.
    #[arg(long)]
    folder: PathBuf,
    /// The query; the files are called `l` and `r` in it.
    #[arg(long)]
    query: String,
    /// Memory that the query may use before it spills, in MiB.
    #[arg(long, default_value_t = 700)]
    memory_mb: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let scratch = tempfile::tempdir()?;
    let threads = std::thread::available_parallelism()?.get();
    let limits = Limits {
        memory_bytes: options.memory_mb << 20,
        spill_bytes: 64 << 30,
        spill_dir: scratch.path().join("spill"),
        threads,
    };
    let root =
        Root::parse(scratch.path().join("tables").to_str().context("a folder whose name is no UTF-8")?)?;
    let lake = Lake::new(root, limits);
    let file = |name: &str| (name.to_owned(), named(&options.folder, name));
    let files = vec![file("l"), file("r")];
    let joining = lake.query_files(&options.query, files, named(&options.folder, "out"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(joining)?;
    ensure!(rows > 0, "the answer has no rows");
    Ok(())
}

fn named(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.parquet"))
}
