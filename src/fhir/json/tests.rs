use super::*;

fn refused(text: &str) -> JsonError {
    Tape::new().read(text.as_bytes()).unwrap_err()
}

#[test]
fn walks_members_in_order_and_keeps_number_text() {
    let text = r#" {"a": [1, {"b": 6.30}], "c": "x", "d": null, "e": true} "#;
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).unwrap().root();
    let names: Vec<_> = root.members().map(|member| member.name).collect();
    assert_eq!(names, ["a", "c", "d", "e"]);
    let items: Vec<_> = root.get("a").unwrap().items().map(Value::raw).collect();
    assert_eq!(items, ["1", r#"{"b": 6.30}"#]);
    assert_eq!(root.get("a").unwrap().items().nth(1).unwrap().get("b").unwrap().raw(), "6.30");
    assert_eq!(root.get("c").unwrap().text().unwrap(), "x");
    assert_eq!(root.get("e").unwrap().boolean(), Some(true));
    assert_eq!(root.get("d").unwrap().kind(), Kind::Null);
    assert!(root.get("z").is_none());
}

#[test]
fn below_is_everything_inside_in_order() {
    let text = r#"[0, {"a": [1, {"b": {}}], "c": "b"}, 2]"#;
    let mut tape = Tape::new();
    let inner = tape.read(text.as_bytes()).unwrap().root().items().nth(1).unwrap();
    let found: Vec<_> = inner.below().map(|(name, value)| (name.unwrap_or("-"), value.raw())).collect();
    let expected = [("a", r#"[1, {"b": {}}]"#), ("-", "1"), ("-", r#"{"b": {}}"#), ("b", "{}"), ("c", r#""b""#)];
    assert_eq!(found, expected);
    assert_eq!(found.len(), inner.below().count());
    assert_eq!(inner.get("c").unwrap().below().count(), 0);
    let empty: Vec<_> = inner.below().filter(|(_, value)| value.is_empty()).map(|(name, _)| name).collect();
    assert_eq!(empty, [Some("b")]);
}

#[test]
fn tells_when_raw_text_may_hide_what_it_says() {
    let mut tape = Tape::new();
    for (text, veiled) in [
        (r#"["\\\u0041"]"#, true),
        (r#"["http:\/\/ehr"]"#, true),
        (r#"["\n\"\\u0041 \\/ \t"]"#, false),
        (r#"["u0041/"]"#, false),
    ] {
        assert_eq!(tape.read(text.as_bytes()).unwrap().root().traits().veiled, veiled, "{text}");
    }
}

#[test]
fn resolves_escapes_in_values_and_refuses_them_in_names() {
    let mut tape = Tape::new();
    let root = tape.read(br#"{"a":"\u0041\n\"\\\/\ud83d\ude00e"}"#).unwrap().root();
    assert_eq!(root.get("a").unwrap().text().unwrap(), "A\n\"\\/\u{1F600}e");
    assert_eq!(refused(r#"{"\u0061":1}"#), JsonError::EscapedName(1));
    assert_eq!(refused(r#"{"abcdefgh\"#), JsonError::EscapedName(1));
}

#[test]
fn refuses_duplicates_anywhere() {
    assert!(matches!(refused(r#"{"a":1,"b":2,"a":3}"#), JsonError::Duplicate(_)));
    assert!(matches!(refused(r#"{"x":[{"meta":{},"meta":{}}]}"#), JsonError::Duplicate(_)));
    let many: Vec<_> = (0..200).map(|n| format!("\"k{n}\":[{{\"k{n}\":1}}]")).collect();
    let mut tape = Tape::new();
    assert!(tape.read(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
    assert!(matches!(refused(&format!("{{{},\"k77\":1}}", many.join(","))), JsonError::Duplicate(_)));
}

#[test]
fn refuses_a_duplicate_at_its_position_however_many_members_there_are() {
    for count in [1, 2, 63, 64, 65, 66, 1000] {
        let names: Vec<_> = (0..count).map(|n| format!("\"name{n}\":{{\"name0\":0}}")).collect();
        let unique = names.join(",");
        assert!(Tape::new().read(format!("{{{unique}}}").as_bytes()).is_ok(), "{count}");
        for repeated in [0, count / 2, count - 1] {
            let text = format!("{{{unique},\"name{repeated}\":1}}");
            assert_eq!(refused(&text), JsonError::Duplicate(unique.len() + 2), "{repeated} of {count}");
        }
    }
}

#[test]
fn refuses_what_is_not_json() {
    for bad in [
        "{a:1}",
        "[1,]",
        "{\"a\":1,}",
        "[01]",
        "[1.]",
        "[+1]",
        "[.5]",
        "[NaN]",
        "['a']",
        "[tru]",
        "[\"\t\"]",
        "}",
        "[1 2]",
    ] {
        assert!(matches!(refused(bad), JsonError::Syntax(_)), "{bad}");
    }
    assert!(matches!(refused(r#"["\ud800"]"#), JsonError::Escape(_)));
    assert!(matches!(refused(r#"["\udc00"]"#), JsonError::Escape(_)));
    assert!(matches!(refused(r#"["\ud800\u0041"]"#), JsonError::Escape(_)));
    assert!(matches!(refused(r#"["\x41"]"#), JsonError::Escape(_)));
    assert!(matches!(refused("{} x"), JsonError::Trailing(3)));
    assert_eq!(Tape::new().read(b"[\"\xff\"]").unwrap_err(), JsonError::Utf8);
}

#[test]
fn every_proper_prefix_is_incomplete() {
    let text = r#"{"a":[1.5e3,-0,"\u00e9\ud83d\ude00",true,null],"bcdefghijkl":{"c":"long enough for two words"}}"#;
    let mut tape = Tape::new();
    for end in 0..text.len() {
        assert_eq!(tape.read_first(&text.as_bytes()[..end]).unwrap_err(), JsonError::Incomplete, "{end}");
    }
    let followed = format!("{text},{{");
    assert_eq!(tape.read_first(followed.as_bytes()).unwrap().1, text.len());
}

#[test]
fn bounds_depth_and_values() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Tape::new().read(nested(crate::limits::JSON_DEPTH).as_bytes()).is_ok());
    assert!(matches!(refused(&nested(crate::limits::JSON_DEPTH + 1)), JsonError::Depth(_)));
    let wide = |values: usize| format!("[{}]", vec!["1"; values - 1].join(","));
    assert!(Tape::new().read(wide(crate::limits::JSON_VALUES).as_bytes()).is_ok());
    assert_eq!(refused(&wide(crate::limits::JSON_VALUES + 1)), JsonError::Values);
}

#[test]
fn writes_strings_that_read_back() {
    let text = "a\"\\\n\r\t\u{1}\u{1F600}é";
    let mut out = Vec::new();
    write_string(text, &mut out);
    let wrapped = format!("[{}]", String::from_utf8(out).unwrap());
    let mut tape = Tape::new();
    assert_eq!(tape.read(wrapped.as_bytes()).unwrap().root().items().next().unwrap().text().unwrap(), text);
}

#[test]
fn what_a_second_look_would_find_is_noted() {
    let mut tape = Tape::new();
    let mut traits = |text: &str| {
        let Traits { extended, hollow, .. } = tape.read(text.as_bytes()).unwrap().root().traits();
        (extended, hollow)
    };
    for plain in [r#"{"a":[{"b":"extension"},"_c"],"extensions":1,"urls":2,"x":"url"}"#, "[0]", r#""""#] {
        assert_eq!(traits(plain), (false, false), "{plain}");
    }
    for extended in [
        r#"{"a":[{"extension":1}]}"#,
        r#"{"modifierExtension":1}"#,
        r#"[{"_a":1}]"#,
        r#"{"a":{"url":"b"}}"#,
        r#"{"a_b":1}"#,
    ] {
        assert_eq!(traits(extended), (true, false), "{extended}");
    }
    for hollow in ["null", "[0,[ ]]", r#"{"a":{ }}"#, "[null]", "{}"] {
        assert_eq!(traits(hollow), (false, true), "{hollow}");
    }
}

#[test]
fn strings_end_where_they_end_whatever_their_length() {
    let mut tape = Tape::new();
    for length in 0..100 {
        let text = "é".repeat(length % 3) + &"a".repeat(length);
        let quoted = format!("\"{text}\"");
        assert_eq!(tape.read(quoted.as_bytes()).unwrap().root().text().unwrap(), text);
        for (inside, error) in [("\u{1f}", true), ("\\n", false), ("\t", true)] {
            let quoted = format!("\"{text}{inside}{text}\"");
            assert_eq!(tape.read(quoted.as_bytes()).is_err(), error, "{quoted:?}");
        }
        assert_eq!(tape.read(format!("\"{text}").as_bytes()).unwrap_err(), JsonError::Incomplete);
    }
}

#[test]
fn members_that_lead_elsewhere_are_found_inside_a_value_only() {
    let text = r#"{"identifier":[{"value":"1"}],"subject":{"reference":"a","identifier":{"value":"2"}},"code":{"text":"reference"},"x":[{"reference":"b"}]}"#;
    let mut tape = Tape::new();
    for _ in 0..2 {
        let root = tape.read(text.as_bytes()).unwrap().root();
        let names = |value: Value<'_>| {
            value.pointers().map(|member| (member.name.to_owned(), member.value.raw().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(names(root).len(), 4);
        assert_eq!(names(root.get("identifier").unwrap()), []);
        assert_eq!(names(root.get("code").unwrap()), []);
        let subject =
            [("reference".to_owned(), r#""a""#.to_owned()), ("identifier".to_owned(), r#"{"value":"2"}"#.to_owned())];
        assert_eq!(names(root.get("subject").unwrap()), subject);
        assert_eq!(names(root.get("x").unwrap()).len(), 1);
    }
}
