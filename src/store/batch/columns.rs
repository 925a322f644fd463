//! Rows as columns: each a PostgreSQL array literal, such as `{"a",NULL,"b"}`. NULLs at the end of one are left out, so that
//! a column of nothing else costs nothing: `unnest`, beside longer columns, puts them back.

use std::fmt::{Display, Write};

use serde::{Serialize, ser};

use super::cells::{Cells, Sink, Unfit};

/// One literal a column, in the order of the fields; a row that is no struct and no tuple is one column.
pub(super) fn of<T: Serialize>(rows: &[T]) -> Result<Vec<String>, Unfit> {
    let mut columns = Columns::default();
    for row in rows {
        columns.at = 0;
        let before = columns.all.len();
        row.serialize(Cells(&mut columns))?;
        let new = before > 0 && columns.all.len() > before;
        if new || columns.at != columns.all.len() {
            return Err(ser::Error::custom("rows of different shapes"));
        }
    }
    if !rows.is_empty() && columns.all.iter().all(|column| column.nulls > 0) {
        return Err(ser::Error::custom("a last row of nothing"));
    }
    let closed = columns.all.into_iter().map(|column| column.text + "}");
    Ok(closed.collect())
}

#[derive(Default)]
struct Columns {
    all: Vec<Column>,
    /// The column of the next cell.
    at: usize,
}

struct Column {
    text: String,
    /// At its end, and not written.
    nulls: usize,
}

impl Columns {
    fn next(&mut self) -> &mut Column {
        if self.at == self.all.len() {
            let text = String::from("{");
            self.all.push(Column { text, nulls: 0 });
        }
        let column = &mut self.all[self.at];
        self.at += 1;
        column
    }

    /// Where the next value goes.
    fn next_value(&mut self) -> &mut String {
        let Column { text, nulls } = self.next();
        for _ in 0..std::mem::take(nulls) {
            separate(text);
            text.push_str("NULL");
        }
        separate(text);
        text
    }
}

fn separate(text: &mut String) {
    if text.len() > 1 {
        text.push(',');
    }
}

impl Sink for Columns {
    fn plain(&mut self, value: &dyn Display) -> Result<(), Unfit> {
        write!(self.next_value(), "{value}").map_err(ser::Error::custom)
    }

    fn null(&mut self) -> Result<(), Unfit> {
        self.next().nulls += 1;
        Ok(())
    }

    fn quoted(&mut self, value: &str) -> Result<(), Unfit> {
        let text = self.next_value();
        text.push('"');
        for part in value.split_inclusive(['"', '\\']) {
            match part.as_bytes().last() {
                Some(b'"' | b'\\') => {
                    let (rest, last) = part.split_at(part.len() - 1);
                    text.push_str(rest);
                    text.push('\\');
                    text.push_str(last);
                }
                Some(_) | None => text.push_str(part),
            }
        }
        text.push('"');
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Inner {
        flag: u8,
        text: Option<&'static str>,
    }

    #[derive(Serialize)]
    struct Row {
        id: uuid::Uuid,
        #[serde(flatten)]
        inner: Inner,
        sum: i64,
    }

    #[test]
    fn each_column_is_an_array_and_an_absent_value_is_null() {
        let row = |text, sum| Row {
            id: uuid::Uuid::nil(),
            inner: Inner { flag: 1, text },
            sum,
        };
        let columns = of(&[row(None, -5), row(Some("a"), 7)]).unwrap();
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(
            columns,
            [
                format!(r#"{{"{nil}","{nil}"}}"#),
                "{1,1}".to_owned(),
                r#"{NULL,"a"}"#.to_owned(),
                "{-5,7}".to_owned(),
            ]
        );
    }

    #[test]
    fn nulls_at_the_end_are_left_out_and_no_row_is_lost_for_it() {
        let columns = of(&[("a", None), ("b", Some(1)), ("c", None), ("d", None)]).unwrap();
        assert_eq!(columns, [r#"{"a","b","c","d"}"#, "{NULL,1}"]);
        let columns = of(&[("a", None::<i64>), ("b", None)]).unwrap();
        assert_eq!(columns, [r#"{"a","b"}"#, "{}"]);
        assert_eq!(
            of(&[None, Some(1), None, Some(2)]).unwrap(),
            ["{NULL,1,NULL,2}"]
        );
        assert!(of(&[Some(1), None]).is_err());
    }

    #[test]
    fn no_text_can_leave_its_cell() {
        let texts = [r#"a"b"#, r"c\d", r#"\",NULL}"#, "", "NULL", "{x,y}", "갸"];
        let columns = of(&texts).unwrap();
        let wanted = r#"{"a\"b","c\\d","\\\",NULL}","","NULL","{x,y}","갸"}"#;
        assert_eq!(columns, [wanted]);
        assert_eq!(of(&["a\0b"]).unwrap(), ["{\"a\u{fffd}b\"}"]);
    }

    #[test]
    fn pairs_are_two_columns_and_rows_of_different_shapes_are_refused() {
        assert_eq!(
            of(&[("a", 1), ("b", 2)]).unwrap(),
            [r#"{"a","b"}"#, "{1,2}"]
        );
        assert!(of(&[vec![1], vec![1, 2]]).is_err());
        assert_eq!(of::<u8>(&[]).unwrap(), Vec::<String>::new());
    }
}
