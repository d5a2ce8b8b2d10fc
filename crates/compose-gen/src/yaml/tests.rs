use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn entry(key: &str, node: Node) -> (String, Node) {
    (key.to_owned(), node)
}

#[test]
fn a_document_has_a_comment_and_sections_apart() {
    let base = Node::map([("restart", Node::text("always")), ("user", Node::text("1:1"))]);
    let service = Node::map([(MERGE, Node::Alias("base")), ("command", Node::texts(["a b", "$HOME"]))]);
    let document = [
        entry("x-base", Node::Anchor("base", Box::new(base))),
        entry("services", Node::map([("machine", service)])),
        entry(
            "ports",
            Node::List(vec![Node::map([("n", Node::Whole(1)), ("t", Node::Bool(true))]), Node::List(vec![])]),
        ),
        entry("none", Node::Map(vec![])),
    ];
    assert_snapshot!(emit("Two lines,\n\nand a bell \u{7}.", &document).unwrap(), @r"
    # Two lines,
    #
    # and a bell \u{7}.
    ---
    x-base: &base
      restart: always
      user: '1:1'

    services:
      machine:
        <<: *base
        command:
          - 'a b'
          - '$$HOME'

    ports:
      - 'n': 1
        't': true
      - []

    none: {}
    ");
}

#[test]
fn only_what_no_reader_mistakes_is_plain() {
    let style =
        |text: &str| emit("", &[entry("key", Node::text(text))]).unwrap().split_off("---\nkey: ".len());
    let shown: String = [
        "comfyui",
        "./.env",
        "/run/secrets/A",
        "GPU-3a2b",
        "yes",
        "Off",
        "NULL",
        "1e3",
        "0x1F",
        "y",
        "12:30",
        "-",
        "~",
        "",
        "<<",
        "it's",
        " a",
        "a\tb",
        "\u{85}\u{2028}\u{feff}",
        "\u{1f600}",
        "a\"\\\n",
    ]
    .map(style)
    .concat();
    assert_snapshot!(shown, @r#"
    comfyui
    ./.env
    /run/secrets/A
    GPU-3a2b
    'yes'
    'Off'
    'NULL'
    '1e3'
    '0x1F'
    'y'
    '12:30'
    '-'
    '~'
    ''
    '<<'
    'it''s'
    ' a'
    "a\tb"
    "\x85\u2028\uFEFF"
    '😀'
    "a\"\\\n"
    "#);
}

#[test]
fn a_nul_is_refused_by_its_path_and_every_one_is() {
    let document = [entry("a", Node::texts(["x", "\0"])), entry("b", Node::map([("c\0", Node::text("\0"))]))];
    let paths: Vec<String> = emit("", &document).unwrap_err().iter().map(|it| it.join(".")).collect();
    assert_eq!(paths, ["a.1", "b.c\0", "b.c\0"]);
}

/// Any document of texts, numbers, truths, lists and mappings.
fn nodes() -> impl Strategy<Value = Node> {
    let scalar = prop_oneof![
        8 => crate_text().prop_map(Node::Text),
        1 => any::<u64>().prop_map(Node::Whole),
        1 => any::<bool>().prop_map(Node::Bool),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::List),
            prop::collection::btree_map(
                crate_text().prop_filter("not a merge", |it| it != MERGE),
                inner,
                0..4
            )
            .prop_map(Node::map),
        ]
    })
}

/// Texts in which the signs of YAML and of Compose are common, and the words that readers mistake.
fn crate_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[aZ09 _.:/#'\"$\\\\{}\\[\\],&*!|>%@`~=+?<\n\t\r\u{e9}\u{2028}\u{85}\u{7}\u{feff}\u{1f600}-]{0,8}",
        "(yes|No|on|OFF|True|~|null|\\.inf|\\.nan|1e3|0o7|0x1F|1_000|190:20:30|2001-01-01|---|<<|=)",
        "[^\0]{0,12}",
    ]
}

fn value(node: &Node) -> serde_json::Value {
    match node {
        Node::Text(text) => text.replace('$', "$$").into(),
        Node::Whole(number) => (*number).into(),
        Node::Bool(truth) => (*truth).into(),
        Node::List(items) => items.iter().map(value).collect(),
        Node::Map(entries) => {
            serde_json::Value::Object(entries.iter().map(|(key, node)| (key.clone(), value(node))).collect())
        }
        Node::Anchor(_, node) => value(node),
        Node::Alias(_) => unreachable!("not generated"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_what_is_read(node in nodes(), header in ".{0,20}") {
        let text = emit(&header, &[entry("key", node.clone())]).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&text).map_err(|it| TestCaseError::fail(format!("{it}\n{text}")))?;
        prop_assert_eq!(&read["key"], &value(&node), "{}", text);
    }
}
