//! What a Parquet file says of itself, as far as decoders read it: the fields of each struct, and as what each is written.
//!
//! Source: `parquet.thrift` of the Apache Parquet format.

use super::thrift::kind;

/// As what a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A whole number. How many bits it has is not said by how it is written, and writers differ.
    Whole,
    Byte,
    Double,
    Flag,
    Bytes,
    List(&'static Shape),
    Struct(Fields),
}

/// The fields of a struct, by their numbers.
pub(super) type Fields = &'static [(i64, Shape)];

impl Shape {
    /// The kind as which it is written in a list.
    pub(super) fn kind(self) -> u8 {
        match self {
            Self::Whole => kind::I32,
            Self::Byte => kind::BYTE,
            Self::Double => kind::DOUBLE,
            Self::Flag => kind::TRUE,
            Self::Bytes => kind::BINARY,
            Self::List(_) => kind::LIST,
            Self::Struct(_) => kind::STRUCT,
        }
    }

    pub(super) fn is_written_as(self, kind: u8) -> bool {
        match self {
            Self::Whole => matches!(kind, kind::I16 | kind::I32 | kind::I64),
            Self::Flag => matches!(kind, kind::TRUE | kind::FALSE),
            other => other.kind() == kind,
        }
    }
}

use Shape::{Byte, Bytes, Double, Flag, List, Struct, Whole};

/// A member of a union that says nothing but which one it is.
const NOTHING: Shape = Struct(&[]);

/// `KeyValue`.
pub(super) const KEY_VALUE: Shape = Struct(&[(1, Bytes), (2, Bytes)]);

/// `FileMetaData`, less what only encrypted files have.
pub(super) const FILE: Fields = &[
    (1, Whole),
    (file::SCHEMA, List(&Struct(ELEMENT))),
    (3, Whole),
    (file::GROUPS, List(&Struct(GROUP))),
    (file::METADATA, List(&KEY_VALUE)),
    (6, Bytes),
    (7, List(&Struct(&[(1, NOTHING), (2, NOTHING)]))),
];

/// Fields of `FileMetaData`.
pub(super) mod file {
    pub(in crate::decode) const SCHEMA: i64 = 2;
    pub(in crate::decode) const GROUPS: i64 = 4;
    pub(in crate::decode) const METADATA: i64 = 5;
}

/// `SchemaElement`.
pub(super) const ELEMENT: Fields = &[
    (1, Whole),
    (2, Whole),
    (3, Whole),
    (element::NAME, Bytes),
    (element::CHILDREN, Whole),
    (6, Whole),
    (7, Whole),
    (8, Whole),
    (9, Whole),
    (10, Struct(LOGICAL)),
];

/// Fields of `SchemaElement`.
pub(super) mod element {
    pub(in crate::decode) const NAME: i64 = 4;
    pub(in crate::decode) const CHILDREN: i64 = 5;
}

const UNIT: Shape = Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]);
const TIME: Shape = Struct(&[(1, Flag), (2, UNIT)]);
/// `LogicalType`.
const LOGICAL: Fields = &[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Struct(&[(1, Whole), (2, Whole)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Flag)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Bytes)])),
    (18, Struct(&[(1, Bytes), (2, Whole)])),
];

/// `RowGroup`.
pub(super) const GROUP: Fields = &[
    (group::COLUMNS, List(&Struct(CHUNK))),
    (2, Whole),
    (3, Whole),
    (4, List(&Struct(&[(1, Whole), (2, Flag), (3, Flag)]))),
    (5, Whole),
    (6, Whole),
    (7, Whole),
];

/// Fields of `RowGroup`.
pub(super) mod group {
    pub(in crate::decode) const COLUMNS: i64 = 1;
}

/// `ColumnChunk`.
pub(super) const CHUNK: Fields =
    &[(1, Bytes), (2, Whole), (3, Struct(COLUMN)), (4, Whole), (5, Whole), (6, Whole), (7, Whole)];

/// `ColumnMetaData`.
const COLUMN: Fields = &[
    (1, Whole),
    (2, List(&Whole)),
    (3, List(&Bytes)),
    (4, Whole),
    (5, Whole),
    (6, Whole),
    (7, Whole),
    (8, List(&KEY_VALUE)),
    (9, Whole),
    (10, Whole),
    (11, Whole),
    (12, Struct(STATISTICS)),
    (13, List(&Struct(&[(1, Whole), (2, Whole), (3, Whole)]))),
    (14, Whole),
    (15, Whole),
    (16, Struct(&[(1, Whole), (2, List(&Whole)), (3, List(&Whole))])),
    (17, Struct(&[(1, Struct(BOX)), (2, List(&Whole))])),
];

/// `Statistics`.
const STATISTICS: Fields =
    &[(1, Bytes), (2, Bytes), (3, Whole), (4, Whole), (5, Bytes), (6, Bytes), (7, Flag), (8, Flag)];

/// `BoundingBox`.
const BOX: Fields =
    &[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)];

/// `PageHeader`.
pub(super) const PAGE: Fields = &[
    (page::KIND, Whole),
    (page::UNPACKED, Whole),
    (page::PACKED, Whole),
    (4, Whole),
    (page::DATA, Struct(DATA)),
    (6, NOTHING),
    (page::DICTIONARY, Struct(DICTIONARY)),
    (page::DATA_2, Struct(DATA_2)),
];

/// `DataPageHeader`.
pub(super) const DATA: Fields =
    &[(page::VALUES, Whole), (2, Whole), (3, Whole), (4, Whole), (5, Struct(STATISTICS))];

/// `DictionaryPageHeader`.
pub(super) const DICTIONARY: Fields = &[(page::VALUES, Whole), (2, Whole), (3, Flag)];

/// `DataPageHeaderV2`.
pub(super) const DATA_2: Fields = &[
    (page::VALUES, Whole),
    (2, Whole),
    (3, Whole),
    (4, Whole),
    (page::DEFINITIONS, Whole),
    (page::REPETITIONS, Whole),
    (page::IS_PACKED, Flag),
    (8, Struct(STATISTICS)),
];

/// Fields of `PageHeader` and of its parts.
pub(super) mod page {
    pub(in crate::decode) const KIND: i64 = 1;
    pub(in crate::decode) const UNPACKED: i64 = 2;
    pub(in crate::decode) const PACKED: i64 = 3;
    pub(in crate::decode) const DATA: i64 = 5;
    pub(in crate::decode) const DICTIONARY: i64 = 7;
    pub(in crate::decode) const DATA_2: i64 = 8;
    /// Of each of these parts: how many values there are.
    pub(in crate::decode) const VALUES: i64 = 1;
    /// Of a data page of the second kind: levels that stand in front of what is packed, and whether that is packed at all.
    pub(in crate::decode) const DEFINITIONS: i64 = 5;
    pub(in crate::decode) const REPETITIONS: i64 = 6;
    pub(in crate::decode) const IS_PACKED: i64 = 7;
}
