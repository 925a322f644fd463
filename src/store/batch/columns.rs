//! Rows as columns: each a PostgreSQL array literal, such as `{"a","b",NULL}`.

use std::fmt::{Display, Write};

use serde::{Serialize, ser};

use super::cells::{Cells, Sink, Unfit};

/// One literal a column, in the order of the fields; a row that is no struct and no tuple is one column.
pub(super) fn of<T: Serialize>(rows: &[T]) -> Result<Vec<String>, Unfit> {
    let mut columns = Columns::default();
    for row in rows {
        columns.at = 0;
        let before = columns.texts.len();
        row.serialize(Cells(&mut columns))?;
        let new = before > 0 && columns.texts.len() > before;
        if new || columns.at != columns.texts.len() {
            return Err(ser::Error::custom("rows of different shapes"));
        }
    }
    let closed = columns.texts.into_iter().map(|text| text + "}");
    Ok(closed.collect())
}

#[derive(Default)]
struct Columns {
    texts: Vec<String>,
    /// The column of the next cell.
    at: usize,
}

impl Columns {
    /// Where the next cell goes.
    fn next(&mut self) -> &mut String {
        if self.at == self.texts.len() {
            self.texts.push(String::from("{"));
        }
        let text = &mut self.texts[self.at];
        self.at += 1;
        if text.len() > 1 {
            text.push(',');
        }
        text
    }
}

impl Sink for Columns {
    fn plain(&mut self, value: &dyn Display) -> Result<(), Unfit> {
        write!(self.next(), "{value}").map_err(ser::Error::custom)
    }

    fn null(&mut self) -> Result<(), Unfit> {
        self.plain(&"NULL")
    }

    fn quoted(&mut self, value: &str) -> Result<(), Unfit> {
        let text = self.next();
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
        let columns = of(&[row(Some("a"), -5), row(None, 7)]).unwrap();
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(
            columns,
            [
                format!(r#"{{"{nil}","{nil}"}}"#),
                "{1,1}".to_owned(),
                r#"{"a",NULL}"#.to_owned(),
                "{-5,7}".to_owned(),
            ]
        );
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
