//! Files that somebody made to do harm, or that a cable damaged.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use datafusion::arrow::{
    array::{
        Array as _, ArrayRef, AsArray as _, BinaryArray, DictionaryArray, Float64Array, Int32Array,
        Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Int32Type},
    ipc::writer::{IpcWriteOptions, StreamWriter},
};
use deltalake::parquet::{
    arrow::ArrowWriter,
    basic::{BrotliLevel, Compression, Encoding, GzipLevel},
    data_type::BoolType,
    file::{
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};

use super::{BATCH_BYTES, BadRow, Format, ROW_BYTES_MAX, Report, Sink, Source, decode, find_schema};
use crate::{Kind, Result};

#[derive(Default)]
struct Kept {
    batches: usize,
    rows: usize,
    /// The largest batch, in bytes.
    largest: usize,
    last: Option<RecordBatch>,
}

impl Sink for Kept {
    fn rows(&mut self, batch: RecordBatch) -> Result<()> {
        self.batches += 1;
        self.rows += batch.num_rows();
        let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap());
        self.largest = self.largest.max(bytes.sum());
        self.last = Some(batch);
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

/// A file says a long value once, and means it in every row.
#[test]
fn a_value_that_is_meant_often_is_written_out_in_pieces() {
    const ROWS: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(1 << 20);
    let keys = Int32Array::from(vec![0; ROWS]);
    let meant = DictionaryArray::new(keys, Arc::new(StringArray::from(vec![long.as_str()])));
    let batch = RecordBatch::try_from_iter([("name", Arc::new(meant) as ArrayRef)]).unwrap();
    let (parquet, arrow) = (dir.path().join("t.parquet"), dir.path().join("t.arrow"));
    let settings = WriterProperties::builder().set_dictionary_page_size_limit(4 << 20).build();
    let file = fs::File::create(&parquet).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(settings)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut writer = StreamWriter::try_new(fs::File::create(&arrow).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    for (path, format) in [(parquet, Format::Parquet), (arrow, Format::Arrow)] {
        assert!(fs::metadata(&path).unwrap().len() < 4 << 20, "{format:?} says it once");
        let mut kept = Kept::default();
        read(&path, format, &mut kept).unwrap();
        assert_eq!(kept.rows, ROWS, "{format:?}");
        assert!(kept.largest < BATCH_BYTES + (1 << 20), "{format:?}: {}", kept.largest);
        assert_eq!(kept.last.unwrap().column(0).as_string::<i32>().value(0), long);
    }
}

#[test]
fn values_of_every_shape_come_out_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let words =
        || StringArray::from(vec![Some("a"), None, Some("b, and more than twelve letters"), Some("")]);
    let text = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3, 4].into());
    let nulls = NullBuffer::from(vec![true, true, false, true]);
    let lists = ListArray::new(text, offsets, Arc::new(words()), Some(nulls));
    let fields = Fields::from(vec![Field::new("word", DataType::Utf8, true)]);
    let structs = StructArray::new(fields, vec![Arc::new(words()) as ArrayRef], None);
    let categories: DictionaryArray<Int32Type> =
        vec![Some("x"), Some("y"), None, Some("x")].into_iter().collect();
    let batch = RecordBatch::try_from_iter([
        ("word", Arc::new(words()) as ArrayRef),
        ("large", Arc::new(LargeStringArray::from(vec![Some("l"), None, Some("m"), Some("n")]))),
        (
            "bytes",
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(&b"\xff"[..]),
                None,
                Some(&b""[..]),
                Some(&b"1"[..]),
            ])),
        ),
        ("category", Arc::new(categories)),
        ("list", Arc::new(lists.clone())),
        ("struct", Arc::new(structs.clone())),
    ])
    .unwrap();
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut kept = Kept::default();
    let report = read(&path, Format::Parquet, &mut kept).unwrap();
    let types: Vec<&str> = report.columns.iter().map(|column| column.column.type_text.as_str()).collect();
    assert_eq!(types, ["string", "string", "binary", "string", "array<string>", "struct<word:string>"]);
    let rows = kept.last.unwrap();
    assert_eq!(rows.column(0).as_string::<i32>(), &words());
    assert_eq!(
        rows.column(1).as_string::<i32>(),
        &StringArray::from(vec![Some("l"), None, Some("m"), Some("n")])
    );
    assert_eq!(rows.column(2).as_binary::<i32>().value(0), b"\xff");
    assert_eq!(
        rows.column(3).as_string::<i32>(),
        &StringArray::from(vec![Some("x"), Some("y"), None, Some("x")])
    );
    let list = rows.column(4).as_list::<i32>();
    assert_eq!(
        (list.value(0).as_string::<i32>().value(0), list.is_null(2), list.value(3).len()),
        ("a", true, 1)
    );
    assert_eq!(rows.column(5).as_struct().column(0).as_string::<i32>(), &words());
}

/// What a page announces is asked of the machine before the page is seen.
#[test]
fn pages_that_announce_more_than_they_may_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let columns = (0..12).map(|n| {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(n..n + 1_000));
        (format!("c{n}"), values)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let settings = WriterProperties::builder().set_dictionary_enabled(false).build();
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(settings)).unwrap();
    writer.write(&batch).unwrap();
    let written = writer.close().unwrap();
    read(&path, Format::Parquet, &mut Kept::default()).unwrap();
    let whole = fs::read(&path).unwrap();
    // 1: kind 0, 2: that many bytes, 3: 7997 packed, 5: { 1: 1000 values, 2, 3, 4: encodings }. There it takes three bytes more than
    // before to say how many, and so fewer are left for the rest.
    let page = |bytes: u32| {
        let mut zigzag = u64::from(bytes) << 1;
        let mut head = vec![0x15, 0x00, 0x15];
        while zigzag >= 0x80 {
            head.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        head.push(zigzag as u8);
        head.extend([
            0x15, 0xfa, 0x7c, 0x2c, 0x15, 0xd0, 0x0f, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x00, 0x00,
        ]);
        head
    };
    let groups = written.row_groups();
    let announcing = |columns: usize, bytes: u32| {
        let mut bytes_of_file = whole.clone();
        for column in &groups[0].columns()[..columns] {
            let at = column.data_page_offset() as usize;
            let head = page(bytes);
            bytes_of_file[at..at + head.len()].copy_from_slice(&head);
        }
        fs::write(&path, bytes_of_file).unwrap();
        read(&path, Format::Parquet, &mut Kept::default()).unwrap_err()
    };
    for (columns, bytes, said) in [
        (1, 2_000_000_000, "says that it has 2000000000 bytes once it is unpacked"),
        (12, 200 << 20, "the pages of its 12 columns take 2516582400 bytes of memory at a time"),
    ] {
        let error = announcing(columns, bytes);
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains(said), "{error}");
    }
}

/// The decoders of these would take whatever comes out of a page.
#[test]
fn pages_that_unpack_to_more_than_they_announce_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1_000).map(|n| n % 7)));
    let batch = RecordBatch::try_from_iter([("c", values)]).unwrap();
    for codec in [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::default())] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let settings = WriterProperties::builder()
                .set_dictionary_enabled(false)
                .set_encoding(Encoding::PLAIN)
                .set_compression(codec)
                .set_writer_version(version)
                .build();
            let file = fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(settings)).unwrap();
            writer.write(&batch).unwrap();
            let written = writer.close().unwrap();
            read(&path, Format::Parquet, &mut Kept::default()).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            // 1: the kind, 2: 8000 bytes, which become 4000.
            let at = written.row_groups()[0].columns()[0].data_page_offset() as usize;
            assert_eq!((bytes[at + 2], &bytes[at + 3..at + 5]), (0x15, &[0x80, 0x7d][..]), "{codec:?}");
            bytes[at + 3..at + 5].copy_from_slice(&[0xc0, 0x3e]);
            fs::write(&path, bytes).unwrap();
            let error = read(&path, Format::Parquet, &mut Kept::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            let said = "says that it has 4000 bytes once it is unpacked, and has more";
            assert!(error.message().contains(said), "{codec:?} {version:?}: {error}");
        }
    }
}

/// A few bytes of levels stand for as many values without any as one likes.
#[test]
fn rows_of_very_many_values_that_take_no_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let write = |rows: usize, values: usize, version: WriterVersion| {
        let text =
            "message m { optional group c (LIST) { repeated group list { optional boolean element; } } }";
        let settings = WriterProperties::builder().set_writer_version(version).build();
        let file = fs::File::create(&path).unwrap();
        let schema = Arc::new(parse_message_type(text).unwrap());
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(settings)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        // 2: the list is there, and its value is not.
        let (mut levels, nulls) = (vec![1_i16; values], vec![2_i16; values]);
        levels[0] = 0;
        for _ in 0..rows {
            column.typed::<BoolType>().write_batch(&[], Some(&nulls), Some(&levels)).unwrap();
        }
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        fs::metadata(&path).unwrap().len()
    };
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let bytes = write(1, 90_000_000, version);
        assert!(bytes < 50_000, "{bytes}");
        let error = read(&path, Format::Parquet, &mut Kept::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains("the lists of one of its rows take 1170000"), "{error}");
    }
    // As many as need a look at each, in rows that are not so long.
    write(23, 1_000_000, WriterVersion::PARQUET_1_0);
    let mut kept = Kept::default();
    assert_eq!(read(&path, Format::Parquet, &mut kept).unwrap().rows, 23);
    assert!(kept.batches >= 5 && kept.largest < BATCH_BYTES, "{} {}", kept.batches, kept.largest);
}
