//! Files that somebody made to do harm, or that a cable damaged.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use datafusion::arrow::{
    array::{Float64Array, Int64Array, RecordBatch, StringArray},
    ipc::writer::{IpcWriteOptions, StreamWriter},
};
use deltalake::parquet::arrow::ArrowWriter;

use super::{BadRow, Format, ROW_BYTES_MAX, Report, Sink, Source, decode, find_schema};
use crate::{Kind, Result};

#[derive(Default)]
struct Kept {
    batches: usize,
    rows: usize,
}

impl Sink for Kept {
    fn rows(&mut self, batch: RecordBatch) -> Result<()> {
        self.batches += 1;
        self.rows += batch.num_rows();
        Ok(())
    }

    fn bad_row(&mut self, _: BadRow) -> Result<()> {
        Ok(())
    }
}

fn source(path: &Path, format: Format) -> Source {
    Source {
        path: path.to_owned(),
        format,
        delimiter: b',',
        null: None,
        clean_names: false,
        declared: Vec::new(),
    }
}

fn read(path: &Path, format: Format, kept: &mut Kept) -> Result<Report> {
    let source = source(path, format);
    let found = find_schema(&source)?;
    decode(&source, &found.schema, kept)
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..100)) as _),
        (
            "name",
            Arc::new((0..100).map(|n| (n % 7 > 0).then(|| format!("n{n}"))).collect::<StringArray>()) as _,
        ),
        ("amount", Arc::new(Float64Array::from_iter_values((0..100).map(|n| f64::from(n) / 3.0))) as _),
    ])
    .unwrap()
}

fn arrow() -> Vec<u8> {
    let batch = batch();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), IpcWriteOptions::default()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn parquet() -> Vec<u8> {
    let batch = batch();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_length_that_the_file_does_not_have_takes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let whole = arrow();
    fs::write(&path, &whole).unwrap();
    let mut kept = Kept::default();
    read(&path, Format::Arrow, &mut kept).unwrap();
    assert_eq!(kept.rows, 100);
    // The length of the batch's bytes: the last 8-byte number of the stream that is as large as what follows.
    let mut patched = 0;
    for at in (0..whole.len() - 8).step_by(4) {
        let number = i64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
        if number < 1_000 || number as usize > whole.len() {
            continue;
        }
        for huge in [1_i64 << 50, i64::MAX, -1, 1 << 40] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&huge.to_le_bytes());
            fs::write(&path, &bytes).unwrap();
            if let Err(error) = read(&path, Format::Arrow, &mut Kept::default()) {
                assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
                patched += 1;
            }
        }
    }
    assert!(patched >= 4, "no length was found in the stream");
}

/// A small generator, so that the same bytes break every time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn damaged_files_are_refused_or_read_and_never_end_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut state = 7;
    for (format, whole) in [(Format::Arrow, arrow()), (Format::Parquet, parquet())] {
        let mut refused = 0;
        for _ in 0..600 {
            let mut bytes = whole.clone();
            for _ in 0..=random(&mut state) % 4 {
                let at = random(&mut state) as usize % bytes.len();
                bytes[at] = random(&mut state) as u8;
            }
            if random(&mut state).is_multiple_of(8) {
                bytes.truncate(random(&mut state) as usize % bytes.len());
            }
            fs::write(&path, &bytes).unwrap();
            // A decoder may panic; whoever calls it here catches that, as an import does.
            let outcome = std::panic::catch_unwind(|| read(&path, format, &mut Kept::default()));
            if let Ok(Err(error)) = &outcome {
                assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
            }
            refused += usize::from(!matches!(outcome, Ok(Ok(_))));
        }
        assert!(refused > 100, "{format:?}: only {refused} were refused");
    }
}

#[test]
fn a_row_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for (format, begin) in
        [(Format::Csv, "a,b\n1,2\n3,\""), (Format::Csv, "a,\"b"), (Format::Json, "{\"a\": \"")]
    {
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(begin.as_bytes()).unwrap();
        file.write_all(&vec![b'x'; ROW_BYTES_MAX + (4 << 20)]).unwrap();
        let error = read(&path, format, &mut Kept::default()).unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.message().contains("bytes"), "{begin}: {error:?}");
    }
}

#[test]
fn long_rows_are_taken_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for format in [Format::Csv, Format::Json] {
        let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        let text = "x".repeat(2 << 20);
        if format == Format::Csv {
            writeln!(file, "a").unwrap();
        }
        for _ in 0..80 {
            match format {
                Format::Csv => writeln!(file, "{text}").unwrap(),
                _ => writeln!(file, "{{\"a\":\"{text}\"}}").unwrap(),
            }
        }
        drop(file);
        let mut kept = Kept::default();
        read(&path, format, &mut kept).unwrap();
        assert_eq!(kept.rows, 80);
        assert!(kept.batches >= 3, "{format:?}: {} batches", kept.batches);
    }
}
