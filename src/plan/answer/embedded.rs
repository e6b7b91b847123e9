//! Rows within rows: records, and arrays of records, in Postgres's binary format.

use crate::plan::answer::{RowWriter, Unreadable, int4};

/// A record: the number of its columns, then for each the OID of its type, its length and its bytes.
pub(super) fn row(out: &mut Vec<u8>, writer: &RowWriter, mut bytes: &[u8]) -> Option<()> {
    let count = int4(&mut bytes)?;
    if usize::try_from(count).ok()? != writer.columns.len() {
        return None;
    }
    let mut field = |index: usize| {
        let type_oid = int4(&mut bytes).ok_or(Unreadable(index))?;
        // No statement's description tells of the types within a record.
        if writer.columns.get(index).is_none_or(|column| column.type_oid != type_oid.cast_unsigned()) {
            return Err(Unreadable(index));
        }
        let length = int4(&mut bytes).ok_or(Unreadable(0))?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let (field, rest) = bytes.split_at_checked(length).ok_or(Unreadable(0))?;
        bytes = rest;
        Ok(Some(field))
    };
    writer.write(out, &mut field).ok()
}

/// An array of one dimension, or of none where it is empty.
pub(super) fn rows(out: &mut Vec<u8>, writer: &RowWriter, mut bytes: &[u8]) -> Option<()> {
    let dimensions = int4(&mut bytes)?;
    let (_flags, _oid) = (int4(&mut bytes)?, int4(&mut bytes)?);
    out.push(b'[');
    let length = match dimensions {
        0 => 0,
        1 => {
            let (length, _lower_bound) = (int4(&mut bytes)?, int4(&mut bytes)?);
            length
        }
        _ => return None,
    };
    for index in 0..length {
        if index > 0 {
            out.push(b',');
        }
        let size = usize::try_from(int4(&mut bytes)?).ok()?;
        let (record, rest) = bytes.split_at_checked(size)?;
        row(out, writer, record)?;
        bytes = rest;
    }
    out.push(b']');
    Some(())
}
