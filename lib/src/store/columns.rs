//! A batch as a statement takes it: one array for each column, which costs Postgres less to read than objects do.

use bytes::BytesMut;
use tokio_postgres::types::{ToSql, Type};

use crate::error::{Error, Result};

/// The columns of a batch, in the order that the statement has them in.
pub(super) struct Columns<'a, T> {
    items: &'a [T],
    columns: Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>,
}

impl<'a, T> Columns<'a, T> {
    /// None so far.
    pub(super) fn of(items: &'a [T]) -> Self {
        Self { items, columns: Vec::new() }
    }

    /// One more, of this type of array.
    pub(super) fn add<V: ToSql + Sync + Send + 'a>(mut self, array: Type, value: impl Fn(&'a T) -> V) -> Self {
        let values: Vec<V> = self.items.iter().map(value).collect();
        self.columns.push((Box::new(values), array));
        self
    }

    /// All of them.
    pub(super) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.columns.iter().map(|(values, array)| (&**values as &(dyn ToSql + Sync), array.clone())).collect()
    }

    /// The bytes of all of them, as they travel.
    pub(super) fn encoded(&self) -> Result<BytesMut> {
        let mut bytes = BytesMut::new();
        for (values, array) in &self.columns {
            values.to_sql_checked(array, &mut bytes).map_err(Error::internal)?;
        }
        Ok(bytes)
    }
}

/// A count as the database has it.
pub(super) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count of which the database has no large ones.
pub(super) fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
