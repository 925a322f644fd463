//! Rows as one JSON array of arrays: without the names of the fields, which a database would search for in each row.

use std::fmt::{Display, Write};

use serde::{Serialize, ser};

use super::cells::{Cells, Sink, Unfit};

pub(super) fn of<T: Serialize>(rows: &[T]) -> Result<String, Unfit> {
    let mut arrays = Arrays {
        text: String::from("["),
    };
    for row in rows {
        row.serialize(Cells(&mut arrays))?;
    }
    Ok(arrays.text + "]")
}

struct Arrays {
    text: String,
}

impl Arrays {
    fn separate(&mut self) {
        if !self.text.ends_with('[') {
            self.text.push(',');
        }
    }
}

impl Sink for Arrays {
    fn begin(&mut self) {
        self.separate();
        self.text.push('[');
    }

    fn end(&mut self) {
        self.text.push(']');
    }

    fn plain(&mut self, value: &dyn Display) -> Result<(), Unfit> {
        self.separate();
        write!(self.text, "{value}").map_err(ser::Error::custom)
    }

    fn null(&mut self) -> Result<(), Unfit> {
        self.plain(&"null")
    }

    fn quoted(&mut self, value: &str) -> Result<(), Unfit> {
        self.separate();
        self.text += &serde_json::to_string(value).map_err(ser::Error::custom)?;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        id: u8,
        text: Option<&'static str>,
        flag: bool,
    }

    #[test]
    fn a_row_is_an_array_and_a_key_stands_by_itself() {
        let row = |id, text| Row {
            id,
            text,
            flag: true,
        };
        let json = of(&[row(1, Some("[")), row(2, None)]).unwrap();
        assert_eq!(json, r#"[[1,"[",true],[2,null,true]]"#);
        assert_eq!(of(&["a", "b"]).unwrap(), r#"["a","b"]"#);
        assert_eq!(of(&[("a", 1)]).unwrap(), r#"[["a",1]]"#);
        assert_eq!(of::<u8>(&[]).unwrap(), "[]");
    }

    #[test]
    fn any_text_is_read_back_as_it_was() {
        let texts = [
            r#"a"b"#,
            r"c\d",
            "[,]",
            "",
            "[",
            "갸\u{1f600}",
            "line\nend\u{1}",
        ];
        let back: Vec<String> = serde_json::from_str(&of(&texts).unwrap()).unwrap();
        assert_eq!(back, texts);
    }
}
