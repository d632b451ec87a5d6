//! Reads columns of a series as signals.

use crate::model::fields::FieldId;
use crate::model::memory::Parts;
use crate::model::recording::{Column, Series};
use crate::model::sample::SLOTS;

/// By how much a counter rose, and in which row that was seen. A counter that fell was reset.
pub(super) fn rises(column: Option<&Column>, last: &mut Option<f64>) -> Vec<(u32, f64)> {
    let Some(column) = column else { return Vec::new() };
    let rows = column.rows.iter().zip(&column.values);
    rows.filter_map(|(row, value)| Some((*row, *value as f64 - last.replace(*value as f64)?)))
        .filter(|(_, rise)| *rise >= 0.0)
        .collect()
}

/// Fields of a footprint's parts.
pub(super) const OF_PARTS: [FieldId; 10] = [
    FieldId::Anon,
    FieldId::Shmem,
    FieldId::Pagetables,
    FieldId::KernelStack,
    FieldId::Sock,
    FieldId::SlabReclaimable,
    FieldId::SlabUnreclaimable,
    FieldId::Slab,
    FieldId::Kernel,
    FieldId::File,
];

/// The parts of all rows that have anonymous memory.
pub(super) fn all_parts(series: &Series, anon: &Column, swap: &mut Option<u64>) -> Vec<(u32, Parts)> {
    let mut swaps = series.column(FieldId::SwapCurrent.field()).into_iter().flat_map(Column::iter).peekable();
    // Nearly all are in the same rows, so that no search is needed.
    let mut columns: [Option<(&Column, bool)>; SLOTS] = [None; SLOTS];
    for id in OF_PARTS {
        let column = series.column(id.field());
        columns[id as usize] = column.map(|column| (column, column.rows == anon.rows));
    }
    let each = anon.rows.iter().enumerate().filter_map(|(n, &row)| {
        while let Some((_, value)) = swaps.next_if(|(at, _)| *at <= row as usize) {
            *swap = Some(value);
        }
        let get = |id: FieldId| {
            if id == FieldId::SwapCurrent {
                return *swap;
            }
            let (column, same) = columns[id as usize]?;
            if same { Some(column.values[n]) } else { column.get(row as usize) }
        };
        Some((row, Parts::of(get)?))
    });
    each.collect()
}
