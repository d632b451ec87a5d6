//! The Parquet schema, made from the field table. All files of a table have the same columns, so that any engine reads them
//! together; a field that the kernel does not have is a column of nulls.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use crate::model::fields;
use crate::model::fields::{Field, Kind, Table};
use crate::model::recording::Origin;

/// Version of the schema: columns are only added within one.
pub const VERSION: u32 = 1;
/// Key of the whole [`Origin`] as JSON in a file's metadata.
pub const ORIGIN: &str = "sampler.origin";

/// A folder of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// Wide rows of cgroups, of the host, of processes.
    Wide(Table),
    /// One row a cgroup and segment.
    Cgroups,
    /// One row an event.
    Events,
}

impl TableKind {
    /// All of them.
    pub const ALL: [TableKind; 5] = [
        TableKind::Wide(Table::Samples),
        TableKind::Wide(Table::Host),
        TableKind::Wide(Table::Processes),
        TableKind::Cgroups,
        TableKind::Events,
    ];

    /// Name of the folder and of the table.
    pub fn name(self) -> &'static str {
        match self {
            TableKind::Wide(Table::Samples) => "samples",
            TableKind::Wide(Table::Host) => "host",
            TableKind::Wide(Table::Processes) => "processes",
            TableKind::Cgroups => "cgroups",
            TableKind::Events => "events",
        }
    }
}

/// A column before those of the field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyColumn {
    /// Path of the cgroup.
    Cgroup,
    /// Inode number of the cgroup.
    Id,
    /// Pid.
    Pid,
    /// Start of the process, clock ticks since boot.
    Start,
    /// Name of the process.
    Comm,
    /// Time of the pass.
    Time,
    /// Microseconds from the reading of the row before it, in the order of the file, of the same pass. The running sum within
    /// a pass is when a row was read after the pass began: the sum itself would cost three times as many bytes.
    Gap,
}

impl KeyColumn {
    /// Name of the column.
    pub fn name(self) -> &'static str {
        match self {
            KeyColumn::Cgroup => "cgroup",
            KeyColumn::Id => "id",
            KeyColumn::Pid => "pid",
            KeyColumn::Start => "start",
            KeyColumn::Comm => "comm",
            KeyColumn::Time => "time",
            KeyColumn::Gap => "gap_us",
        }
    }
}

/// The columns before those of the field table.
pub fn key_columns(table: Table) -> &'static [KeyColumn] {
    match table {
        Table::Samples => &[KeyColumn::Cgroup, KeyColumn::Id, KeyColumn::Time, KeyColumn::Gap],
        Table::Host => &[KeyColumn::Time, KeyColumn::Gap],
        Table::Processes => {
            &[KeyColumn::Cgroup, KeyColumn::Pid, KeyColumn::Start, KeyColumn::Comm, KeyColumn::Time, KeyColumn::Gap]
        }
    }
}

/// A column.
pub(super) fn column(name: &str, physical: Physical, logical: Option<LogicalType>, repetition: Repetition) -> TypePtr {
    let built =
        Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition).build();
    Arc::new(built.unwrap_or_else(|error| unreachable!("the schema of {name} is constant: {error}")))
}

fn text(name: &str, repetition: Repetition) -> TypePtr {
    column(name, Physical::BYTE_ARRAY, Some(LogicalType::String), repetition)
}

fn time(name: &str) -> TypePtr {
    let logical = LogicalType::timestamp(true, TimeUnit::MICROS);
    column(name, Physical::INT64, Some(logical), Repetition::REQUIRED)
}

fn integer(name: &str) -> TypePtr {
    column(name, Physical::INT64, None, Repetition::REQUIRED)
}

fn field(field: &Field) -> TypePtr {
    let physical = if field.kind == Kind::Limit { Physical::DOUBLE } else { Physical::INT64 };
    column(field.column, physical, None, Repetition::OPTIONAL)
}

/// The schema of a folder's files.
pub fn schema(kind: TableKind) -> TypePtr {
    let columns: Vec<TypePtr> = match kind {
        TableKind::Wide(table) => {
            let lead = key_columns(table).iter().map(|lead| match lead {
                KeyColumn::Cgroup | KeyColumn::Comm => text(lead.name(), Repetition::REQUIRED),
                KeyColumn::Id | KeyColumn::Start => integer(lead.name()),
                KeyColumn::Pid | KeyColumn::Gap => column(lead.name(), Physical::INT32, None, Repetition::REQUIRED),
                KeyColumn::Time => time(lead.name()),
            });
            lead.chain(fields::of(table).map(field)).collect()
        }
        TableKind::Cgroups => vec![
            text("cgroup", Repetition::REQUIRED),
            integer("id"),
            time("first_seen"),
            time("last_seen"),
            integer("rows"),
            text("name", Repetition::OPTIONAL),
            text("identity", Repetition::OPTIONAL),
        ],
        TableKind::Events => vec![
            time("time"),
            integer("mono_ns"),
            text("kind", Repetition::REQUIRED),
            text("cgroup", Repetition::OPTIONAL),
            text("detail", Repetition::REQUIRED),
        ],
    };
    schema_of(kind.name(), columns)
}

/// The schema of a table of these columns.
pub(super) fn schema_of(name: &str, columns: Vec<TypePtr>) -> TypePtr {
    let built = Type::group_type_builder(name).with_fields(columns).build();
    Arc::new(built.unwrap_or_else(|error| unreachable!("the schema of {name} is constant: {error}")))
}

/// How a file is written. `has` says whether any row has a value for a field: a column of nulls needs no statistics.
pub fn properties(kind: TableKind, origin: &Origin, has: impl Fn(&Field) -> bool) -> WriterProperties {
    let pair = |key: &str, value: String| KeyValue::new(format!("sampler.{key}"), value);
    let mut metadata = vec![
        pair("schema_version", VERSION.to_string()),
        pair("host", origin.host.clone()),
        pair("boot_id", origin.boot_id.clone()),
        pair("kernel", origin.kernel.clone()),
        pair("agent", origin.agent.clone()),
        KeyValue::new(ORIGIN.into(), serde_json::to_string(origin).unwrap_or_default()),
    ];
    metadata.extend(origin.wsl.clone().map(|wsl| pair("wsl", wsl)));
    let plain = |name: &str| ColumnPath::from(name);
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("sampler {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(metadata))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(usize::MAX)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(8192)
        .set_max_row_group_row_count(None);
    if let TableKind::Wide(table) = kind {
        // The times of a pass are the same bytes for each of its cgroups: plain, in one large page, zstd finds them again.
        // As differences they would be other bytes after each cgroup's first.
        builder = builder
            .set_column_dictionary_enabled(plain("time"), false)
            .set_column_encoding(plain("time"), Encoding::PLAIN)
            .set_column_statistics_enabled(plain("time"), EnabledStatistics::Page);
        for field in fields::of(table) {
            let path = plain(field.column);
            if !has(field) {
                builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None);
            } else if field.kind != Kind::Limit {
                builder = builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
    }
    builder.build()
}

/// zstd level: the lowest with most of the gain.
const LEVEL: i32 = 3;
/// A page holds a whole column of a row group.
const PAGE_BYTES: usize = 8 << 20;
