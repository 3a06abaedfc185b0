//! Lenders that are known by name. The list is never complete: a lender that is not in it is no
//! error.

use super::lexicon;
use super::schema::Value;
use super::strip::Piece;

/// Codes and names. Those at the end have no known code.
pub(super) const LENDERS: &[(&str, &str)] = &[
    ("01201001", "Ngân hàng TMCP Công thương Việt Nam"),
    ("01202001", "Ngân hàng TMCP Đầu tư và Phát triển Việt Nam"),
    ("01203001", "Ngân hàng TMCP Ngoại thương Việt Nam"),
    ("01204001", "Ngân hàng Nông nghiệp và Phát triển Nông thôn Việt Nam"),
    ("01302001", "Ngân hàng TMCP Hàng Hải Việt Nam"),
    ("01309001", "Ngân hàng TMCP Việt Nam Thịnh Vượng"),
    ("01310001", "Ngân hàng TMCP Kỹ thương Việt Nam"),
    ("01311001", "Ngân hàng TMCP Quân đội"),
    ("01317001", "Ngân hàng TMCP Đông Nam Á"),
    ("01323002", "Ngân hàng TMCP An Bình"),
    ("01341001", "Ngân hàng TMCP Thịnh vượng và Phát triển"),
    ("01348002", "Ngân hàng TMCP Sài Gòn - Hà Nội"),
    ("01352002", "Ngân hàng TMCP Quốc Dân"),
    ("01357001", "Ngân hàng TMCP Lộc Phát Việt Nam"),
    ("01358001", "Ngân hàng TMCP Tiên Phong"),
    ("01359001", "Ngân hàng TMCP Bảo Việt"),
    ("01661001", "Ngân hàng TNHH MTV CIMB Việt Nam"),
    ("01663001", "Ngân hàng TNHH MTV Woori Việt Nam"),
    ("79303001", "Ngân hàng TMCP Sài Gòn Thương Tín"),
    ("79305001", "Ngân hàng TMCP Xuất Nhập khẩu Việt Nam"),
    ("79306001", "Ngân hàng TMCP Nam Á"),
    ("79307001", "Ngân hàng TMCP Á Châu"),
    ("79308001", "Ngân hàng TMCP Sài Gòn Công thương"),
    ("79314013", "Ngân hàng TMCP Quốc tế Việt Nam"),
    ("79321001", "Ngân hàng TMCP Phát triển Thành phố Hồ Chí Minh"),
    ("79327001", "Ngân hàng TMCP Bản Việt"),
    ("79333001", "Ngân hàng TMCP Phương Đông"),
    ("79334001", "Ngân hàng TMCP Sài Gòn"),
    ("79353001", "Ngân hàng TMCP Kiên Long"),
    ("79502001", "Ngân hàng TNHH Indovina"),
    ("79603001", "Ngân hàng TNHH MTV Hong Leong Việt Nam"),
    ("79616001", "Ngân hàng TNHH MTV Shinhan Việt Nam"),
    ("", "Công ty Tài chính TNHH MTV Home Credit Việt Nam"),
    ("", "Công ty Tài chính TNHH HD SAISON"),
    ("", "Công ty Tài chính TNHH MTV Mirae Asset (Việt Nam)"),
    ("", "Công ty Tài chính Cổ phần Tín Việt"),
    ("", "Công ty Tài chính TNHH MB SHINSEI"),
    ("", "Công ty Tài chính TNHH MTV Shinhan Việt Nam"),
    ("", "Công ty Tài chính TNHH MTV Lotte Việt Nam"),
    ("", "Ngân hàng Chính sách xã hội"),
    ("", "Quỹ tín dụng nhân dân"),
];

/// The value of a lender's name, a branch behind it or not.
pub(super) fn value(pieces: &[Piece]) -> Value {
    let names: Vec<&'static str> = LENDERS.iter().map(|(_, name)| *name).collect();
    lexicon::value(pieces, &names, false)
}
