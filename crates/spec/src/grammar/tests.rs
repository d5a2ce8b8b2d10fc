use proptest::prelude::*;

use super::*;
use crate::notes::Fault;
use crate::source::Span;

/// One line a fault: `column..column  message (fix)`; of a roster without faults, its canonical form.
fn render(text: &str) -> String {
    render_of(&SourceText::open("--spec", text))
}

fn render_of(source: &SourceText) -> String {
    let column = |at| source.at(at..at).line_column().1;
    match parse(source) {
        Ok(roster) => roster.to_string(),
        Err(ParseErrors { faults, .. }) => faults
            .into_iter()
            .map(|Located { fault, place }| {
                let Span { start, end } = place.unwrap().span;
                format!("{}..{}  {fault} ({})", column(start), column(end), fault.fix())
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

macro_rules! check {
    ($input:expr, @$expected:literal) => { insta::assert_snapshot!(render($input), @$expected) };
}

/// Every row of the table in section 3 of the field's reference, where four parsers gave up to three answers to each.
#[test]
fn every_input_that_the_field_answered_in_several_ways_has_one_answer() {
    check!("openai", @"1..7  the count is missing (write `openai:1`, or `openai:auto` for as many as fit)");
    check!("openai:x", @"8..9  the count `x` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)");
    check!("openai:0", @"8..9  the count `0` is below 1 (write 1 or more, or leave the entry out)");
    check!("openai:-3", @"8..10  the count `-3` is below 1 (write 1 or more, or leave the entry out)");
    check!("ollama:auto", @"ollama:auto");
    // Not this parser's to know: the resolver has the mapping.
    check!("sim:1", @"sim:1");
    check!("openai:1,openai:1", @"10..18  `openai` is given again; the first is at column 1 (write one entry `openai:2`)");
    check!("", @"1..1  the roster is empty (name at least one worker and its count: `simulation:1`)");
    // The text around the table.
    check!("comfyui:2:gpu", @"comfyui:2");
    check!("openai:2.9", @"8..11  the count `2.9` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)");
    check!("OpenAI:2", @"1..7  `OpenAI` is not a worker's name: 'O' cannot be in a name; use a-z, 0-9 and - (write `openai`)");
    check!(" openai:2 , a1111:1 ", @"openai:2,a1111:1");
    check!("openai :2", @"7..9  there is a space at the colon (write `openai:2`)");
    check!("gpu:auto", @"gpu:auto");
}

#[test]
fn one_bad_entry_does_not_hide_the_next() {
    check!("comfyui:0,:2,,openai,a1111:x,ok:1", @r"
    9..10  the count `0` is below 1 (write 1 or more, or leave the entry out)
    11..13  the name is empty (write the worker's name before the colon)
    13..14  an entry is empty (remove the comma, or write the entry that is missing)
    15..21  the count is missing (write `openai:1`, or `openai:auto` for as many as fit)
    28..29  the count `x` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    ");
    check!(",", @r"
    1..2  an entry is empty (remove the comma, or write the entry that is missing)
    1..2  an entry is empty (remove the comma, or write the entry that is missing)
    ");
    check!("a:1,", @"4..5  an entry is empty (remove the comma, or write the entry that is missing)");
    check!(":", @r"
    1..2  the name is empty (write the worker's name before the colon)
    1..2  the count is missing (write `name:1`, or `name:auto` for as many as fit)
    ");
}

#[test]
fn a_bad_name_is_told_with_what_was_meant() {
    check!("Comfy_UI:2", @"1..9  `Comfy_UI` is not a worker's name: 'C' cannot be in a name; use a-z, 0-9 and - (write `comfy-ui`)");
    check!("-a:1", @"1..3  `-a` is not a worker's name: a name cannot begin with '-'; use a-z, 0-9 and - (write the name as the service mapping has it)");
    check!("größe:1", @"1..6  `größe` is not a worker's name: 'ö' cannot be in a name; use a-z, 0-9 and - (write the name as the service mapping has it)");
    check!("a\u{a0}b:1", @r"1..4  `a b` is not a worker's name: '\u{a0}' cannot be in a name; use a-z, 0-9 and - (write the name as the service mapping has it)");
    check!(&format!("{}:1", "a".repeat(64)), @"1..65  `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` is not a worker's name: the name has 64 bytes; 63 is the limit (write the name as the service mapping has it)");
}

#[test]
fn a_wrong_separator_is_one_fault() {
    check!("comfyui:2 openai:4  a1111:1", @r"
    10..11  white space stands where a `,` belongs (write a `,` there)
    19..21  white space stands where a `,` belongs (write a `,` there)
    ");
    check!("openai:1;a1111:2， b = 3,c：x", @r"
    9..10  `;` stands where a `,` belongs (write a `,` there)
    17..18  `，` stands where a `,` belongs (write a `,` there)
    20..23  `=` stands where a `:` belongs (write a `:` there)
    26..27  `：` stands where a `:` belongs (write a `:` there)
    27..28  the count `x` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    ");
}

#[test]
fn a_count_is_plain_digits_within_its_limits() {
    check!("a:10000,b:10001,c:99999999999999999999,d:007", @r"
    11..16  the count `10001` is above 10000 (write at most 10000, or `auto` for as many as fit)
    19..39  the count `99999999999999999999` is above 10000 (write at most 10000, or `auto` for as many as fit)
    ");
    check!("a:+2,b:AUTO,c:٣,d:1e3,e:000,f:-0,g:--1", @r"
    3..5  the count `+2` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    8..12  the count `AUTO` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    15..16  the count `٣` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    19..22  the count `1e3` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    25..28  the count `000` is below 1 (write 1 or more, or leave the entry out)
    31..33  the count `-0` is below 1 (write 1 or more, or leave the entry out)
    36..39  the count `--1` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    ");
}

#[test]
fn spaces_are_free_around_commas_only() {
    check!("\n a:1 ,\n\t b:2\r\n", @"a:1,b:2");
    check!("a : 2,b: auto,c :x", @r"
    2..5  there is a space at the colon (write `a:2`)
    8..10  there is a space at the colon (write `b:auto`)
    16..18  there is a space at the colon (write `c:x`)
    18..19  the count `x` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    ");
    check!("a: :2", @r"
    1..6  the count is missing (write `a:1`, or `a:auto` for as many as fit)
    3..5  there is a space at the colon (write `a:count`)
    5..6  the third part `2` is not a binding (write `a:count`; the service mapping knows the binding)
    ");
}

#[test]
fn the_old_third_part_is_understood_and_never_written() {
    let source = SourceText::open("--spec", "comfyui:2:gpu, a:1:cpu,openai:10:shared");
    let roster = parse(&source).unwrap();
    assert_eq!(roster.to_string(), "comfyui:2,a:1,openai:10");
    let bindings: Vec<_> = roster.entries().iter().filter_map(|it| it.legacy_binding.as_ref()).collect();
    let told: Vec<_> = bindings.iter().map(|(it, place)| (it.as_str(), place.text())).collect();
    assert_eq!(told, [("gpu", "gpu"), ("cpu", "cpu"), ("shared", "shared")]);

    check!("comfyui:2:mock_gpu", @"11..19  `mock_gpu` is a way to run a machine, not a binding (write `comfyui:2`, and let the machine's inventory be a mock)");
    check!("comfyui:2:GPU,a:1:,b:1:gpu:0", @r"
    11..14  the third part `GPU` is not a binding (write `comfyui:2`; the service mapping knows the binding)
    18..19  the entry has 3 parts; name and count are all it needs (write `a:1`)
    27..29  the entry has 4 parts; name and count are all it needs (write `b:1`)
    ");
}

#[test]
fn a_name_given_again_is_pointed_at_and_merged_where_the_sum_is_clear() {
    check!("openai:2,a:1,openai:3, openai:1", @r"
    14..22  `openai` is given again; the first is at column 1 (write one entry `openai:6`)
    24..32  `openai` is given again; the first is at column 1 (write one entry `openai:6`)
    ");
    check!("openai:2,openai:auto", @"10..21  `openai` is given again; the first is at column 1 (keep one of them)");
    check!("openai:x,openai:3", @r"
    8..9  the count `x` is neither a whole number nor `auto` (write a whole number from 1 to 10000, or `auto`)
    10..18  `openai` is given again; the first is at column 1 (keep one of them)
    ");
    check!("openai:9000,openai:3000", @"13..24  `openai` is given again; the first is at column 1 (keep one of them)");
}

#[test]
fn the_good_entries_of_a_bad_roster_are_kept_for_the_resolver() {
    let errors = parse(&SourceText::open("--spec", "comfyiu:2,a:0,b:1,b:2,c:auto")).unwrap_err();
    let understood: Vec<_> = errors.understood.iter().map(ToString::to_string).collect();
    assert_eq!(understood, ["comfyiu:2", "b:1", "c:auto"]);
    assert_eq!(errors.to_string(), "the roster has 2 faults");
}

#[test]
fn a_roster_within_a_document_is_pointed_at_there() {
    let source = SourceText::open("profile.json", "{\n  \"workers\": \"comfyui:2,openai:x\"\n}");
    let start = source.text().find("comfyui").unwrap();
    let errors = parse_at(&source.at(start..start + "comfyui:2,openai:x".len())).unwrap_err();
    assert_eq!(errors.faults[0].place.as_ref().unwrap().to_string(), "profile.json:2:32");
    assert_eq!(errors.understood[0].name_place.text(), "comfyui");
    assert_eq!(errors.understood[0].count_place.text(), "2");
}

#[test]
fn a_guarded_source_is_never_quoted() {
    let text = "canary,Canary:x,cana ry:canary,canary:2:canary,canary :1,canary:1:mock_gpu:canary,canary:2";
    let errors = parse(&SourceText::guarded("WORKERS", text)).unwrap_err();
    assert!(errors.faults.len() > 10);
    for Located { fault, .. } in errors.faults {
        let shown = format!("{fault} {}", fault.fix());
        assert!(!shown.to_lowercase().contains("cana"), "{shown}");
    }
}

#[test]
fn every_code_is_given_by_some_text() {
    let texts = [
        "",
        "a:1,,b",
        "a:1 b:1",
        ":1",
        "A:1",
        "a:x",
        "a:0",
        "a:99999",
        "a :1",
        "a:1:x",
        "a:1:mock_gpu",
        "a:1:gpu:1",
        "a:1,a:1",
    ];
    let faults = texts.iter().flat_map(|it| parse(&SourceText::open("--spec", *it)).unwrap_err().faults);
    let given: std::collections::BTreeSet<_> = faults.map(|it| it.fault.code().id).collect();
    assert_eq!(given.into_iter().collect::<Vec<_>>(), codes::ALL.iter().map(|it| it.id).collect::<Vec<_>>());
}

/// The tables of `docs/grammar.md` that have the columns "written" and "answer" are what the parser says.
#[test]
fn the_reference_gives_the_answers_that_the_parser_gives() {
    let page = include_str!("../../../../docs/grammar.md");
    let table = page.split("| written | answer |\n|---|---|\n").nth(1).unwrap();
    let rows: Vec<_> = table.lines().take_while(|it| it.starts_with('|')).collect();
    assert!(rows.len() > 20);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [written, answer] = cells[..] else { panic!("{row} has two cells") };
        let written = written.trim_matches('`');
        let given = match parse(&SourceText::open("--spec", written)) {
            Ok(roster) => format!("`{roster}`"),
            Err(ParseErrors { faults, .. }) => {
                let told = faults
                    .iter()
                    .map(|Located { fault, .. }| format!("{} {fault}: {}", fault.code().id, fault.fix()));
                told.collect::<Vec<_>>().join("; ")
            }
        };
        assert_eq!(given, answer, "of {written:?}");
    }
}

#[test]
fn the_reference_mentions_every_code() {
    let page = include_str!("../../../../docs/grammar.md");
    for code in [codes::ALL, crate::template::codes::ALL, crate::condition::codes::ALL].concat() {
        assert!(page.contains(code.id), "docs/grammar.md does not mention {}", code.id);
    }
}

fn rosters() -> impl Strategy<Value = Vec<(String, String)>> {
    let count = prop_oneof![(1..=MAX_COUNT).prop_map(|it| it.to_string()), Just("auto".to_owned())];
    proptest::collection::btree_map("[a-z0-9][a-z0-9-]{0,20}", count, 1..20)
        .prop_map(|it| it.into_iter().collect())
}

/// Text that is nearly a roster.
fn near_rosters() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-c]",
        "[0-9]{1,6}",
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just(" ".to_owned()),
        Just("auto".to_owned()),
        Just("gpu".to_owned()),
        "[A-Z_=.;-]",
        "\\PC",
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_a_roster_displays_is_that_roster(entries in rosters(), spaces in "[ \t\n]{0,3}") {
        let canonical = entries.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(",");
        let spaced = format!("{spaces}{}{spaces}", canonical.replace(',', &format!("{spaces},{spaces}")));
        let roster = parse(&SourceText::open("--spec", spaced)).unwrap();
        prop_assert_eq!(roster.to_string(), canonical);
        let given: Vec<_> = roster.entries().iter().map(|it| (it.name.to_string(), it.count.to_string())).collect();
        prop_assert_eq!(given, entries);
    }

    #[test]
    fn any_text_is_answered_within_its_bounds(text in near_rosters(), before in "\\PC{0,3}", after in "\\PC{0,3}") {
        let source = SourceText::open("--spec", format!("{before}{text}{after}"));
        let whole = before.len()..before.len() + text.len();
        let (entries, faults) = match parse_at(&source.at(whole.clone())) {
            Ok(roster) => (roster.entries, Vec::new()),
            Err(ParseErrors { faults, understood }) => {
                prop_assert!(!faults.is_empty());
                (understood, faults)
            }
        };
        for it in &entries {
            prop_assert_eq!(it.name_place.text(), it.name.as_str());
            prop_assert!(it.place.text().starts_with(it.name.as_str()));
        }
        let places = entries.iter().flat_map(|it| [&it.place, &it.count_place]);
        for place in places.chain(faults.iter().map(|it| it.place.as_ref().unwrap())) {
            let Span { start, end } = place.span;
            prop_assert!(whole.start <= start && start <= end && end <= whole.end);
            prop_assert!(source.text().get(place.span.clone()).is_some());
        }
    }
}
