//! Reads what scanners answer with.
//!
//! Promises:
//! - A document type, and with it any entity, is refused; so is more than a scanner has to say.
//! - Members that are not known are passed over; a member is known by its name and by one of the two
//!   namespaces of the standard, which scanners confuse.

use roxmltree::{Document, Node, ParsingOptions};

/// Of the standard, and of what it takes from the Printer Working Group.
const SPACES: [&str; 2] =
    ["http://schemas.hp.com/imaging/escl/2011/05/03", "http://www.pwg.org/schemas/2010/12/sm"];

/// Elements and texts of one answer; the longest that scanners give have about 2000.
const NODES: u32 = 50_000;

/// A document whose root has this name.
pub fn parse<'a>(text: &'a str, root: &str) -> Option<Document<'a>> {
    let options = ParsingOptions { nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    is(&document.root_element(), root).then_some(document)
}

/// Whether this is a member of this name.
pub fn is(node: &Node, name: &str) -> bool {
    let tag = node.tag_name();
    tag.name() == name && tag.namespace().is_some_and(|space| SPACES.contains(&space))
}

/// All members of this name.
pub fn members<'a, 'b: 'a>(
    node: Node<'a, 'b>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(move |child| is(child, name))
}

/// The first member of this name.
pub fn member<'a, 'b: 'a>(node: Node<'a, 'b>, name: &'static str) -> Option<Node<'a, 'b>> {
    members(node, name).next()
}

/// The text of the first member of this name.
pub fn text<'a, 'b: 'a>(node: Node<'a, 'b>, name: &'static str) -> Option<&'a str> {
    member(node, name)?.text().map(str::trim)
}

/// All texts of this name, however deep.
pub fn texts(node: Node, name: &'static str) -> Vec<String> {
    let found = node.descendants().filter(|child| is(child, name));
    found.filter_map(|child| Some(child.text()?.trim().to_owned())).collect()
}

/// A whole number; some scanners give it with a fraction.
pub fn number(node: Node, name: &'static str) -> Option<u32> {
    let number = text(node, name)?.parse::<f64>().ok()?.round();
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::shown;

    fn status(inside: &str) -> String {
        format!("<ScannerStatus xmlns='{}'>{inside}</ScannerStatus>", SPACES[0])
    }

    #[test]
    fn entities_floods_and_strangers_are_refused() {
        let bomb = format!("<!DOCTYPE a [<!ENTITY b 'bbbb'>]>{}", status("&b;"));
        assert!(parse(&bomb, "ScannerStatus").is_none());
        assert!(parse(&status("&b;"), "ScannerStatus").is_none());
        assert!(parse(&status(&"<a/>".repeat(NODES as usize)), "ScannerStatus").is_none());
        assert!(parse(&status(""), "ScannerCapabilities").is_none());
        assert!(parse("<ScannerStatus/>", "ScannerStatus").is_none());
        assert!(parse("<html><p>not found", "ScannerStatus").is_none());
        assert!(parse(&status(""), "ScannerStatus").is_some());
    }

    #[test]
    fn depth_does_no_harm() {
        let depth = 100_000;
        let deep = status(&("<a>".repeat(depth) + &"</a>".repeat(depth)));
        assert!(parse(&deep, "ScannerStatus").is_none());
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        let read = |text: &str| {
            let text = status(&format!("<Age>{text}</Age>"));
            number(parse(&text, "ScannerStatus").unwrap().root_element(), "Age")
        };
        assert_eq!((read(" 2480 "), read("2362.2")), (Some(2480), Some(2362)));
        for bad in ["", "-1", "many", "1e300", "NaN"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_shown_short_and_on_one_line() {
        assert_eq!(shown(" MFP\u{1b}[31m\n2 "), "MFP[31m2");
        assert_eq!(shown(&"x".repeat(999)).len(), 120);
    }
}
