//! How the rows of a batch become the values of one statement: one JSON text, or one array literal a column. Their fields
//! are known by their places: the order of the fields of a row is the order in its statement.

use sea_orm::Value;
use serde::Serialize;

use super::dialect::Batch;

mod arrays;
mod cells;
mod columns;

impl Batch {
    /// The values for a statement that takes these rows, all of one shape.
    pub(super) fn values<T: Serialize>(self, rows: &[T]) -> Result<Vec<Value>, String> {
        match self {
            Batch::Json => {
                let json = arrays::of(rows).map_err(|error| error.to_string())?;
                Ok(vec![json.into()])
            }
            Batch::Columns => {
                let columns = columns::of(rows).map_err(|error| error.to_string())?;
                Ok(columns.into_iter().map(Value::from).collect())
            }
        }
    }

    /// Keys travel as one value, and there may be none of them.
    pub(super) fn keys<T: Serialize>(self, keys: &[T]) -> Result<Value, String> {
        match self {
            Batch::Columns if keys.is_empty() => Ok("{}".into()),
            Batch::Json | Batch::Columns => {
                let mut values = self.values(keys)?;
                values.pop().ok_or_else(|| "a key of no columns".to_owned())
            }
        }
    }
}
