//! The customer's address. It ends in a province, which is one of a few.

use std::sync::LazyLock;

use super::lenders::DOUBTED;
use super::lexicon;
use super::schema::Value;
use super::strip::{Piece, value_of};
use super::words;

/// The provinces and cities, those of before July 2025 as well, as they are spelt. "Huế" alone could
/// be a street's "Huệ".
const PROVINCES: &str = "An Giang|Bà Rịa - Vũng Tàu|Bắc Giang|Bắc Kạn|Bạc Liêu|Bắc Ninh|Bến Tre|\
    Bình Định|Bình Dương|Bình Phước|Bình Thuận|Cà Mau|Cần Thơ|Cao Bằng|Đà Nẵng|Đắc Lắc|Đắk Lắk|\
    Đắk Nông|Điện Biên|Đồng Nai|Đồng Tháp|Gia Lai|Hà Giang|Hà Nam|Hà Nội|Hà Tĩnh|Hải Dương|\
    Hải Phòng|Hậu Giang|Hồ Chí Minh|Hòa Bình|Hoà Bình|Hưng Yên|Khánh Hòa|Khánh Hoà|Kiên Giang|\
    Kon Tum|Lai Châu|Lâm Đồng|Lạng Sơn|Lào Cai|Long An|Nam Định|Nghệ An|Ninh Bình|Ninh Thuận|\
    Phú Thọ|Phú Yên|Quảng Bình|Quảng Nam|Quảng Ngãi|Quảng Ninh|Quảng Trị|Sóc Trăng|Sơn La|Tây Ninh|\
    Thái Bình|Thái Nguyên|Thanh Hóa|Thanh Hoá|Thành phố Huế|Thừa Thiên Huế|Tiền Giang|TP Huế|\
    TP. Huế|Tp. Huế|Trà Vinh|Tuyên Quang|Vĩnh Long|Vĩnh Phúc|Yên Bái";

/// What the parts of an address begin with, and what ends it, which is no name.
const KINDS: &str = "số nhà|chung cư|khu phố|đường|thôn|xóm|buôn|xã|phường|thị trấn|thị xã|quận|huyện|\
    thành phố|tỉnh|Việt Nam";

/// `KINDS` in small and large letters, as they are printed.
static PHRASES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let large = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    KINDS
        .split('|')
        .flat_map(|kind| {
            let each = kind.split(' ').map(large).collect::<Vec<_>>().join(" ");
            [kind.to_owned(), large(kind), each, kind.to_uppercase()]
        })
        .collect()
});

/// The value of an address: as it is printed, its province and the kinds of its parts completed where
/// they are nearly that, and without the specks that were read as marks in it and around it.
pub(super) fn value(pieces: &[Piece]) -> Value {
    if !pieces.iter().any(Piece::is_from_picture) {
        return value_of(&pieces.iter().collect::<Vec<_>>());
    }
    let capitals = PROVINCES.to_uppercase();
    let provinces: Vec<&str> = PROVINCES.split('|').chain(capitals.split('|')).collect();
    let mut value = lexicon::ending(&lexicon::with_phrases(pieces, &PHRASES), &provinces);
    let is_open = value.text.contains('(');
    let is_mark = |c: char| matches!(c, ',' | ':' | ';' | ' ') || c == ')' && !is_open;
    let text = value.text.replace('·', "");
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '(');
    value.text = text.trim_end_matches(is_mark).to_owned();
    if words::lacks_a_vowel(&value.text) {
        value.confidence = value.confidence.min(DOUBTED);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{piece, strip};

    #[test]
    fn province_that_is_nearly_one_is_completed_where_the_reader_saw_it() {
        for (read, known) in [
            ("Ấp 3, Xã Ea Kao, Đà Nẳng", "Ấp 3, Xã Ea Kao, Đà Nẵng"),
            ("12 Lê Lợi - Tỉnh Thừa Thiên Huể", "12 Lê Lợi - Tỉnh Thừa Thiên Huế"),
            ("TỔ 7, TP. HỒ CHÌ MINH", "TỔ 7, TP. HỒ CHÍ MINH"),
        ] {
            let completed = value(&[piece(read, known, 0.2)]);
            assert_eq!(completed.text, known);
            assert!(completed.confidence > 0.9 && completed.confidence < 1.0);
            let unseen = value(&[piece(read, known, 0.002)]);
            assert_eq!(unseen.text, read);
            assert!(unseen.confidence < 0.9);
        }
        for kept in ["12 Nguyễn Huệ", "Xã Ea Kao, Gia Lai", "Tổ 5, Hoà Bình"] {
            assert_eq!(value(&[piece(kept, kept, 0.0)]).text, kept);
        }
        assert_eq!(value(&[piece("12 Nguyễn Huệ", "12 Nguyễn Huế", 0.2)]).text, "12 Nguyễn Huệ");
    }

    #[test]
    fn kinds_of_parts_are_completed_as_they_are_printed() {
        for (read, known) in [
            ("Ấp 3,Thị trẩn Ea Kar", "Ấp 3,Thị trấn Ea Kar"),
            ("TỔ 7, TĨNH CAO BẰNG", "TỔ 7, TỈNH CAO BẰNG"),
            ("chụng cư 5 - Việt Năm", "chung cư 5 - Việt Nam"),
        ] {
            assert_eq!(value(&[piece(read, known, 0.2)]).text, known);
        }
    }

    #[test]
    fn specks_in_and_around_it_are_none_of_it() {
        for (read, address) in [
            ("Ấp 3, Lào Cai:", "Ấp 3, Lào Cai"),
            ("Tỉnh Bình Thuận)", "Tỉnh Bình Thuận"),
            ("Ấp 3, ·Phường 2", "Ấp 3, Phường 2"),
            ("- Ấp 3", "Ấp 3"),
            ("Khu A (cũ)", "Khu A (cũ)"),
        ] {
            assert_eq!(value(&[piece(read, read, 0.0)]).text, address);
        }
        // What a document says in letters of its own is what is printed.
        assert_eq!(value(&strip(&[("Ấp 3:", 0.0, 0.0)]).pieces).text, "Ấp 3:");
    }
}
