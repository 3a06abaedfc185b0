//! The report's scalars: from the enquiry, the customer, the score and the debt sold to VAMC.

use super::address;
use super::fields::{self, Field as Found, Wanted, is_grid};
use super::grid::Grid;
use super::schema::{Field, Report, Value};
use super::shapes::Shape;
use super::strip::{Piece, Strip};
use super::tables;
use super::tables::{cell, single_rows};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Time,
    Code,
    Identity,
    Address,
    Score,
    Rank,
    Ranked,
    Comparison,
    Ignored,
}

const ENQUIRY: &Wanted<Role> = &[
    (Role::Time, &["thoigianguibaocao", "thoidiemguibaocao", "thoigiantraloi", "ngayguibaocao"]),
    (
        Role::Ignored,
        &[
            "donvitracuu",
            "diachi",
            "dienthoai",
            "nguoitracuu",
            "masophieu",
            "thoigianyeucau",
            "maphieu",
        ],
    ),
];

const CUSTOMER: &Wanted<Role> = &[
    (Role::Code, &["masocic", "macic", "masokhachhangcic", "macickhachhang"]),
    (
        Role::Identity,
        &[
            "sochungminhnhandan",
            "socmndhochieu",
            "socccdcmnd",
            "socmndcccd",
            "cccd",
            "socccd",
            "socmnd",
            "cancuoccongdan",
            "socancuoccongdan",
            "sodinhdanh",
            "sodinhdanhcanhan",
            "socmndcccdhochieu",
            "socccdcmndhochieu",
            "cmndcccd",
            "cmndhochieu",
        ],
    ),
    (Role::Address, &["diachi", "diachikhachhang", "diachithuongtru"]),
    (
        Role::Ignored,
        &[
            "tenkhachhang",
            "hovaten",
            "giaytokhac",
            "dienthoai",
            "sodienthoai",
            "ngaysinh",
            "gioitinh",
            "quoctich",
            "masothue",
            "hochieu",
            "email",
            "ngaycap",
            "noicap",
        ],
    ),
];

const SCORE: &Wanted<Role> = &[
    (Role::Score, &["diemtindung"]),
    (Role::Rank, &["hang", "hangtindung"]),
    (Role::Ranked, &["ngaychamdiem", "ngaychamdiemtindung", "ngayxephang"]),
    (Role::Comparison, &["xephangkhachhang"]),
];

/// The enquiry block above the first heading; the address in it is the bank's.
pub(super) fn enquiry(strip: &Strip, report: &mut Report) {
    let labelled = fields::labels(&strip.pieces, ENQUIRY);
    let found = fields::beside(strip, labelled);
    let time = found.iter().find(|field| field.role == Role::Time && !field.value.is_empty());
    if let Some(field) = time {
        set(report, Field::ReportTime, cell(&field.value, Shape::Time));
    }
}

/// The customer's identity.
pub(super) fn customer(strip: &Strip, report: &mut Report) {
    let labelled = fields::labels(&strip.pieces, CUSTOMER);
    let grid = is_grid(&labelled);
    let wanted = [
        (Role::Code, Field::CicCode, Shape::Digits(10)),
        (Role::Identity, Field::IdCard, Shape::Identity),
        (Role::Address, Field::Address, Shape::Words),
    ];
    if grid && let Some(grid) = Grid::of(strip, CUSTOMER, 2) {
        for (role, field, shape) in wanted {
            let pieces: Vec<Piece> = grid.lines(role).into_iter().flatten().collect();
            set(report, field, of_customer(&pieces, shape));
        }
        return;
    }
    let found = fields::beside(strip, labelled);
    for (role, field, shape) in wanted {
        if let Some(found) = found.iter().find(|f| f.role == role && !f.value.is_empty()) {
            set(report, field, of_customer(&found.value, shape));
        }
    }
}

/// A value of the customer's.
fn of_customer(pieces: &[Piece], shape: Shape) -> Value {
    if shape == Shape::Words { address::value(pieces) } else { cell(pieces, shape) }
}

/// Score, rank and the day of both. A legend of all ranks may stand near: its "Hạng" heads a
/// column of its own, away from the day of ranking.
pub(super) fn score(strip: &Strip, report: &mut Report) {
    let wanted = [
        (Role::Score, Field::CreditScore, Shape::Count),
        (Role::Rank, Field::CreditRank, Shape::Count),
        (Role::Ranked, Field::CreditRankingDate, Shape::Date),
    ];
    let mut labelled = fields::labels(&strip.pieces, SCORE);
    // The labels that belong together stand next to each other: of two alike the one that is
    // nearer to the other roles'.
    let homes: Vec<f32> = labelled
        .labels
        .iter()
        .filter(|label| matches!(label.role, Some(Role::Score | Role::Ranked)))
        .map(|label| label.anchor.middle)
        .collect();
    let away = |label: &fields::Label<Role>| -> f32 {
        homes.iter().map(|home| (label.anchor.middle - home).abs()).sum()
    };
    let others: Vec<(Option<Role>, f32)> =
        labelled.labels.iter().map(|label| (label.role, away(label))).collect();
    for label in &mut labelled.labels {
        let own = away(label);
        if others.iter().any(|(role, other)| *role == label.role && *other < own) {
            label.role = None;
        }
    }
    let near: Vec<_> =
        labelled.labels.iter().filter(|label| label.role.is_some()).cloned().collect();
    let own = fields::Labelled { labels: near, rest: labelled.rest.clone() };
    if is_grid(&own) {
        let top = own.labels.iter().map(|label| label.at.top).fold(f32::MAX, f32::min);
        // The legend's header ends the customer's row.
        let bottom = own.labels.iter().map(|label| label.at.bottom).fold(top, f32::max);
        let legend = labelled.labels.iter().filter(|label| label.role.is_none());
        let end = legend.map(|l| l.at.top).filter(|y| *y > bottom).fold(f32::MAX, f32::min);
        let Some(grid) = Grid::of(&strip.slice(top, end), SCORE, 2) else { return };
        let columns = wanted.map(|(role, _, shape)| grid.column(role, shape));
        let rows = single_rows(&grid.strip, &columns);
        if let Some(row) = rows.first() {
            for ((_, field, shape), pieces) in wanted.iter().zip(row) {
                set(report, *field, cell(pieces, *shape));
            }
        }
        return;
    }
    let found: Vec<Found<Role>> = fields::beside(strip, labelled);
    for (role, field, shape) in wanted {
        let own = found.iter().find(|f| f.role == role && !f.value.is_empty());
        if let Some(found) = own {
            // The value is one line; whatever else was near is the legend's.
            let value: Vec<Piece> = found
                .value
                .iter()
                .filter(|piece| shape.resembles(&piece.text))
                .take(1)
                .cloned()
                .collect();
            set(report, field, cell(&value, shape));
        }
    }
}

/// The debt sold to VAMC.
pub(super) fn vamc(strip: &Strip, report: &mut Report) {
    set(report, Field::DebtSoldToVamc, tables::vamc(strip));
}

/// The first value found stands.
fn set(report: &mut Report, field: Field, value: Value) {
    let slot = report.scalar_mut(field);
    if !slot.is_present() && value.is_present() {
        *slot = value;
    }
}
