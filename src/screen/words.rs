//! What the customer's pages say, in Vietnamese and in English.

use cic_kiosk::finding::Finding;

use crate::capture::{Problem, Sight, State};

/// The same in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// In Vietnamese.
    pub vi: String,
    /// In English.
    pub en: String,
}

impl Words {
    /// These.
    pub fn new(vi: impl Into<String>, en: impl Into<String>) -> Self {
        Self { vi: vi.into(), en: en.into() }
    }
}

/// So many of something in English.
pub fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// What is wrong with a page's picture.
pub fn finding(finding: Finding) -> Words {
    let vi = match finding {
        Finding::Damaged => "Ảnh chụp bị lỗi: xin chụp lại.",
        Finding::Blurred => "Ảnh bị mờ: hãy đặt trang giấy phẳng và giữ yên.",
        Finding::Dark => "Trang giấy quá tối: hãy kiểm tra đèn.",
        Finding::Bright => "Trang giấy quá sáng: hãy tránh ánh sáng chiếu thẳng.",
        Finding::Pale => "Chữ in quá nhạt, không đọc được.",
        Finding::Glare => "Giấy bị chói ở một chỗ: hãy xoay hoặc vuốt phẳng trang giấy.",
        Finding::CutOff => "Thiếu một góc giấy: hãy đặt cả trang vào khung hình.",
        Finding::Coarse => "Trang giấy quá nhỏ trong ảnh: hãy đưa lại gần hơn.",
        Finding::Crooked => "Trang giấy bị lệch: hãy đặt cho thẳng.",
    };
    let en = match finding {
        // Who stands at a kiosk sets no resolution.
        Finding::Coarse => "The page is too small in the picture: move it closer.".to_owned(),
        _ => finding.to_string(),
    };
    Words::new(vi, en)
}

/// What a camera sees.
pub fn sight(sight: &Sight) -> Words {
    let vi = match sight {
        Sight::Empty => "Chưa có giấy: hãy đặt trang giấy dưới máy ảnh.",
        Sight::Wait(Problem::Moving) => "Có vật chuyển động: hãy bỏ tay ra và để yên trang giấy.",
        Sight::Wait(Problem::Covered) => "Có vật che trang giấy: chỉ để lại trang giấy trên bàn.",
        Sight::Wait(Problem::Poor(poor)) => return finding(*poor),
        Sight::Take => "Đang chụp trang giấy.",
        Sight::Done => "Đã chụp xong: hãy đặt trang tiếp theo.",
    };
    let en = match sight {
        Sight::Empty => "There is no paper: lay the page under the camera.".to_owned(),
        Sight::Take => "The page is being taken.".to_owned(),
        _ => sight.to_string(),
    };
    Words::new(vi, en)
}

/// How a scanner is. What it says is for technicians; a customer can do something about three things.
pub fn scanner(state: &State) -> Words {
    let reason = match state {
        State::Ready => {
            return Words::new(
                "Hãy đặt giấy vào khay máy quét rồi nhấn nút Quét.",
                "Put the paper into the scanner's feeder, and press Scan.",
            );
        }
        State::Busy => return Words::new("Máy quét đang quét.", "The scanner is at work."),
        State::Absent(reason) | State::Failing(reason) | State::Asking(reason) => reason,
    };
    let says = |word: &str| reason.contains(word);
    if says("jam") {
        Words::new(
            "Giấy bị kẹt: hãy lấy giấy ra và quét lại.",
            "The paper is jammed: take it out, and begin again.",
        )
    } else if says("cover") || says("hatch") {
        Words::new("Nắp máy quét đang mở: hãy đóng lại.", "The scanner's cover is open: close it.")
    } else if says("feeder") {
        Words::new("Khay giấy trống: hãy đặt giấy vào.", "The feeder is empty: put the paper in.")
    } else {
        Words::new(
            "Máy quét chưa sẵn sàng: xin gọi nhân viên.",
            "The scanner is not ready: please call the staff.",
        )
    }
}

/// What a camera that does not work means for a customer.
pub fn camera_is_away() -> Words {
    Words::new(
        "Máy ảnh chưa sẵn sàng: xin gọi nhân viên.",
        "The camera is not ready: please call the staff.",
    )
}

/// What a value is: a field of the report, or a cell of a table. `name` is the API's, as
/// `bad_debt[0][2]`.
pub fn value(name: &str) -> Words {
    let mut parts = name.split(['[', ']']).filter(|part| !part.is_empty());
    let field = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|number| number.parse::<usize>().ok());
    let (row, column) = (number(), number());
    let (vi, en, columns): (_, _, &[(&str, &str)]) = match field {
        "report_time" => ("Thời gian gửi báo cáo", "Time of the report", &[]),
        "cic_code" => ("Mã số CIC", "CIC number", &[]),
        "id_card" => ("Số CMND/CCCD", "ID number", &[]),
        "address" => ("Địa chỉ", "Address", &[]),
        "credit_score" => ("Điểm tín dụng", "Credit score", &[]),
        "credit_rank" => ("Hạng tín dụng", "Credit rank", &[]),
        "credit_ranking_date" => ("Ngày chấm điểm", "Day of the score", &[]),
        "debt_sold_to_vamc" => ("Nợ đã bán cho VAMC", "Debt sold to VAMC", &[]),
        "loan_details" => ("Nợ vay", "Loans", &LOANS),
        "credit_card_info" => ("Thẻ tín dụng", "Credit cards", &CARDS),
        "outstanding_loans" => ("Dư nợ theo tháng", "Debts by month", &MONTHS),
        "bad_debt" => ("Nợ xấu", "Bad debts", &BAD_DEBTS),
        "late_payments" => ("Chậm thanh toán thẻ", "Late card payments", &LATE),
        "loan_guarantee" => ("Tài sản bảo đảm", "Collateral", &COLLATERAL),
        "credit_contract" => ("Hợp đồng tín dụng", "Credit contracts", &CONTRACTS),
        "customers_look_up" => ("Tra cứu", "Looked up", &LOOK_UPS),
        _ => (name, name, &[]),
    };
    match (row, column.and_then(|column| columns.get(column))) {
        (Some(row), Some((column_vi, column_en))) => Words::new(
            format!("{vi} {}: {column_vi}", row + 1),
            format!("{en} {}: {column_en}", row + 1),
        ),
        _ => Words::new(vi, en),
    }
}

// The columns of the API's tables, in its order.

const LOANS: [(&str, &str); 5] = [
    ("số thứ tự", "number"),
    ("mã tổ chức", "lender's code"),
    ("tên tổ chức", "lender"),
    ("dư nợ", "debt"),
    ("tổng cộng", "total"),
];
const CARDS: [(&str, &str); 4] = [
    ("hạn mức", "limit"),
    ("phải thanh toán", "to pay"),
    ("chậm thanh toán", "overdue"),
    ("số thẻ", "number of cards"),
];
const MONTHS: [(&str, &str); 3] = [("nợ vay", "loans"), ("thẻ", "cards"), ("tổng cộng", "total")];
const BAD_DEBTS: [(&str, &str); 5] = [
    ("ngày phát sinh cuối", "last date"),
    ("nhóm nợ", "group"),
    ("số tiền", "amount"),
    ("số thứ tự", "number"),
    ("tổ chức", "lender"),
];
const LATE: [(&str, &str); 3] =
    [("có hay không", "yes or no"), ("số ngày dài nhất", "longest, in days"), ("số lần", "times")];
const COLLATERAL: [(&str, &str); 2] = [("số tài sản", "number"), ("số tổ chức", "lenders")];
const CONTRACTS: [(&str, &str); 2] = [("ngày ký", "signed"), ("ngày kết thúc", "ends")];
const LOOK_UPS: [(&str, &str); 3] =
    [("tổ chức", "by whom"), ("sản phẩm", "what"), ("thời gian", "when")];

#[cfg(test)]
mod tests {
    use cic_kiosk::report::schema::{Field, Table};

    use super::*;

    #[test]
    fn every_value_of_the_api_has_a_name_for_people() {
        for field in Field::ALL {
            assert_ne!(value(field.name()).vi, field.name());
        }
        for table in Table::ALL {
            let last = table.columns() - 1;
            let name = format!("{}[1][{last}]", table.name());
            assert!(value(&name).en.contains(" 2: "), "{name}: {}", value(&name).en);
        }
        assert_eq!(value("bad_debt[1][0]").en, "Bad debts 2: last date");
        assert_eq!(value("loan_details[0][3][2]").vi, "Nợ vay 1: dư nợ");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|it| counted(it, "page")), ["0 pages", "1 page", "2 pages"]);
    }

    #[test]
    fn what_scanners_ask_for_is_told_in_words_that_say_what_to_do() {
        let asked = |reason: &str| scanner(&State::Asking(reason.to_owned())).en;
        assert!(asked("paper is jammed in the scanner: take it out").contains("jammed"));
        assert!(asked("the feeder's cover is open: close it").contains("close it"));
        assert!(asked("the feeder is empty: put the paper into it").contains("put the paper in"));
        assert!(asked("the scanner tests itself").contains("staff"));
    }
}
