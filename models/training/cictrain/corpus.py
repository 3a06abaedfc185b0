"""What is written on the paper: names, addresses, lenders, amounts, dates and sentences, all made up.

Every function takes the random generator and returns text of the recogniser's alphabet in NFC. Half of what a model
learns from is true to the paper; the other half is there so that it learns letters and not words.
"""

from __future__ import annotations

import datetime
import os
import unicodedata
from functools import lru_cache

import numpy as np

from .alphabet import ALPHABET, VIETNAMESE

HUNSPELL = "/usr/share/hunspell/vi_VN.dic"

# Code and name, as the report's specification lists them; the ones without a known code get a made-up institution.
_LENDERS = """
01201001 Ngân hàng TMCP Công thương Việt Nam
01202001 Ngân hàng TMCP Đầu tư và Phát triển Việt Nam
01203001 Ngân hàng TMCP Ngoại thương Việt Nam
01204001 Ngân hàng Nông nghiệp và Phát triển Nông thôn Việt Nam
01302001 Ngân hàng TMCP Hàng Hải Việt Nam
01309001 Ngân hàng TMCP Việt Nam Thịnh Vượng
01310001 Ngân hàng TMCP Kỹ thương Việt Nam
01311001 Ngân hàng TMCP Quân đội
01317001 Ngân hàng TMCP Đông Nam Á
01323002 Ngân hàng TMCP An Bình
01341001 Ngân hàng TMCP Thịnh vượng và Phát triển
01348002 Ngân hàng TMCP Sài Gòn - Hà Nội
01352002 Ngân hàng TMCP Quốc Dân
01357001 Ngân hàng TMCP Lộc Phát Việt Nam
01358001 Ngân hàng TMCP Tiên Phong
01359001 Ngân hàng TMCP Bảo Việt
01661001 Ngân hàng TNHH MTV CIMB Việt Nam
01663001 Ngân hàng TNHH MTV Woori Việt Nam
79303001 Ngân hàng TMCP Sài Gòn Thương Tín
79305001 Ngân hàng TMCP Xuất Nhập khẩu Việt Nam
79306001 Ngân hàng TMCP Nam Á
79307001 Ngân hàng TMCP Á Châu
79308001 Ngân hàng TMCP Sài Gòn Công thương
79314013 Ngân hàng TMCP Quốc tế Việt Nam
79321001 Ngân hàng TMCP Phát triển Thành phố Hồ Chí Minh
79327001 Ngân hàng TMCP Bản Việt
79333001 Ngân hàng TMCP Phương Đông
79334001 Ngân hàng TMCP Sài Gòn
79353001 Ngân hàng TMCP Kiên Long
79502001 Ngân hàng TNHH Indovina
79603001 Ngân hàng TNHH MTV Hong Leong Việt Nam
79616001 Ngân hàng TNHH MTV Shinhan Việt Nam
? Công ty Tài chính TNHH MTV Home Credit Việt Nam
? Công ty Tài chính TNHH HD SAISON
? Công ty Tài chính TNHH MTV Mirae Asset (Việt Nam)
? Công ty Tài chính Cổ phần Tín Việt
? Công ty Tài chính TNHH MB SHINSEI
? Công ty Tài chính TNHH MTV Shinhan Việt Nam
? Công ty Tài chính TNHH MTV Lotte Việt Nam
? Ngân hàng Chính sách xã hội
? Quỹ tín dụng nhân dân
""".strip()
LENDERS = [tuple(row.split(" ", 1)) for row in _LENDERS.splitlines()]

# The 63 provinces' codes of the old 12-digit identity numbers.
PROVINCE_CODES = (
    "001 002 004 006 008 010 011 012 014 015 017 019 020 022 024 025 026 027 030 031 033 034 035 036 037 038 040 042 044 "
    "045 046 048 049 051 052 054 056 058 060 062 064 066 067 068 070 072 074 075 077 079 080 082 083 084 086 087 089 091 "
    "092 093 094 095 096"
).split()

_FAMILY = (
    "Nguyễn Trần Lê Phạm Huỳnh Hoàng Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Đoàn Trịnh Mai Tô Tạ Hà Cao Châu Lương "
    "Lưu Thái Quách Kiều Vương Triệu Tăng Nghiêm Khuất Ông Ninh Thạch Giáp Ngọ Ksor Siu Đàm La Chu Văn Bạch Từ Uông Phùng"
).split()
_MIDDLE = "Văn Thị Hữu Đức Minh Ngọc Thanh Quốc Xuân Thu Kim Bảo Gia Hoài Phương Công Đình Mỹ Hồng Anh Tuấn Quang Thế Như Diệu Khánh Tấn Ánh".split()
_GIVEN = (
    "An Anh Bảo Bình Châu Chi Cường Dũng Duy Dương Đạt Đông Giang Hà Hải Hạnh Hiền Hiếu Hòa Hoa Hùng Huy Hương Khang Khoa "
    "Khôi Lan Linh Long Lộc Ly Mai Mạnh Minh My Nam Nga Ngân Nghĩa Ngọc Nguyên Nhân Nhi Nhung Oanh Phong Phúc Phước Phương "
    "Quân Quỳnh Sơn Tài Tâm Thảo Thắng Thành Thịnh Thủy Thúy Thư Tiến Toàn Trang Trâm Trí Trinh Trung Tú Tuấn Tuyết Uyên "
    "Vân Việt Vinh Vy Xuân Yến Ý Ửng Ỷ Ẩn Ổn Ưng Ẵng Thìn Hợi Dậu Sửu Kỷ Đẩu Thuần Thưởng Cẩm Đượm Ngoãn"
).split()
_OLD_PROVINCES = (
    "Hà Nội|Hồ Chí Minh|Đà Nẵng|Hải Phòng|Cần Thơ|An Giang|Bà Rịa - Vũng Tàu|Bắc Giang|Bắc Kạn|Bạc Liêu|Bắc Ninh|Bến Tre|"
    "Bình Định|Bình Dương|Bình Phước|Bình Thuận|Cà Mau|Cao Bằng|Đắk Lắk|Đắk Nông|Điện Biên|Đồng Nai|Đồng Tháp|Gia Lai|"
    "Hà Giang|Hà Nam|Hà Tĩnh|Hải Dương|Hậu Giang|Hòa Bình|Hưng Yên|Khánh Hòa|Kiên Giang|Kon Tum|Lai Châu|Lâm Đồng|Lạng Sơn|"
    "Lào Cai|Long An|Nam Định|Nghệ An|Ninh Bình|Ninh Thuận|Phú Thọ|Phú Yên|Quảng Bình|Quảng Nam|Quảng Ngãi|Quảng Ninh|"
    "Quảng Trị|Sóc Trăng|Sơn La|Tây Ninh|Thái Bình|Thái Nguyên|Thanh Hóa|Thừa Thiên Huế|Tiền Giang|Trà Vinh|Tuyên Quang|"
    "Vĩnh Long|Vĩnh Phúc|Yên Bái"
).split("|")
_NEW_PROVINCES = (
    "Hà Nội|Huế|Lai Châu|Điện Biên|Sơn La|Lạng Sơn|Quảng Ninh|Thanh Hóa|Nghệ An|Hà Tĩnh|Cao Bằng|Tuyên Quang|Lào Cai|"
    "Thái Nguyên|Phú Thọ|Bắc Ninh|Hưng Yên|Hải Phòng|Ninh Bình|Quảng Trị|Đà Nẵng|Quảng Ngãi|Gia Lai|Khánh Hòa|Lâm Đồng|"
    "Đắk Lắk|Hồ Chí Minh|Đồng Nai|Tây Ninh|Cần Thơ|Vĩnh Long|Đồng Tháp|Cà Mau|An Giang"
).split("|")
_CITIES = {"Hà Nội", "Hồ Chí Minh", "Đà Nẵng", "Hải Phòng", "Cần Thơ", "Huế"}
_PLACES = (
    "Hoàn Kiếm|Ba Đình|Đống Đa|Cầu Giấy|Thanh Xuân|Hai Bà Trưng|Tây Hồ|Long Biên|Hà Đông|Thăng Long|Đông Đô|Sở giao dịch|"
    "Gia Định|Bến Thành|Tân Bình|Bình Thạnh|Gò Vấp|Thủ Đức|Chợ Lớn|Phú Nhuận|Củ Chi|Hóc Môn|Bắc Sài Gòn|Nam Sài Gòn|Hải Châu|"
    "Sơn Trà|Ngũ Hành Sơn|Ninh Kiều|Cái Răng|Lê Chân|Ngô Quyền|Thủ Dầu Một|Dĩ An|Biên Hòa|Nha Trang|Quy Nhơn|Buôn Ma Thuột|"
    "Pleiku|Đà Lạt|Phan Thiết|Rạch Giá|Long Xuyên|Mỹ Tho|Vĩnh Yên|Việt Trì|Hạ Long|Cẩm Phả|Móng Cái|Từ Sơn|Phủ Lý|Ninh Hiệp|"
    "Tràng An|Kinh Bắc|Nam Từ Liêm|Mê Linh|Đông Anh|Sóc Sơn|Gia Lâm|Thường Tín|Ứng Hòa|Mỹ Đức|Thạch Thất|Quốc Oai|Chương Mỹ|"
    "Láng Hạ|Nguyễn Trãi|Yên Xá|Tân Triều|Quỳnh Lưu|Diễn Châu|Hậu Lộc|Kỳ Anh|Vĩnh Linh|Điện Bàn|Tư Nghĩa|Phù Cát|Ea H'leo|"
    "Krông Pắc|Cư M'gar|Đắk Mil|Bảo Lộc|Trảng Bom|Xuyên Mộc|Gò Công|Giồng Riềng|Ô Môn|Phụng Hiệp|U Minh|Năm Căn"
).split("|")
_STREETS = (
    "Trần Hưng Đạo|Lê Lợi|Nguyễn Huệ|Nam Kỳ Khởi Nghĩa|Bà Triệu|Lý Thường Kiệt|Điện Biên Phủ|Cách Mạng Tháng Tám|Võ Văn Kiệt|"
    "Phạm Văn Đồng|Nguyễn Văn Linh|Hùng Vương|Quang Trung|Lạc Long Quân|Âu Cơ|Tôn Đức Thắng|Hoàng Hoa Thám|Xô Viết Nghệ Tĩnh|"
    "Nguyễn Thị Minh Khai|Đinh Tiên Hoàng|Phan Đình Phùng|Giải Phóng|Trường Chinh|Khâm Thiên|Xã Đàn|Huỳnh Tấn Phát|Ỷ Lan|Yết Kiêu"
).split("|")
PRODUCTS = (
    "S11A|S11T|S37|R14|R20|R11A|S10A|K11.1|S35|R17|Thông tin quan hệ tín dụng|Cảnh báo khách hàng vay|Thông tin chủ thẻ|"
    "Báo cáo điểm tín dụng|Thông tin tài sản đảm bảo|Chi tiết quan hệ tín dụng|Xếp hạng tín dụng thể nhân|Bản trả lời tin S11A|"
    "Quan hệ tín dụng khách hàng vay|Tra cứu lịch sử nợ xấu|Vay tiêu dùng"
).split("|")
TERM_DEBTS = [f"Dư nợ cho vay {term}" for term in ("ngắn hạn", "trung hạn", "dài hạn")] + [
    "Dư nợ cho vay khác",
    "Dư nợ xấu khác",
]
GROUP_DEBTS = [
    f"Dư nợ {group}" for group in ("đủ tiêu chuẩn", "cần chú ý", "dưới tiêu chuẩn", "nghi ngờ", "có khả năng mất vốn")
]
LABELS = (
    "Đơn vị tra cứu|Địa chỉ|Điện thoại|Người tra cứu|Mã số phiếu|Thời gian yêu cầu|Thời gian gửi báo cáo|Tên khách hàng|Mã số CIC|"
    "Mã CIC|Số CMND/Hộ chiếu|Số CCCD/CMND|Căn cước công dân|Số định danh|Giấy tờ khác|Điểm tín dụng|Hạng tín dụng|Ngày chấm điểm|"
    "Xếp hạng khách hàng|Tổng hạn mức thẻ tín dụng|Tổng số tiền phải thanh toán thẻ|Tổng số tiền chậm thanh toán thẻ|"
    "Số lượng thẻ tín dụng|Tên tổ chức phát hành thẻ|Khách hàng có chậm thanh toán thẻ|Số ngày chậm thanh toán thẻ lớn nhất|"
    "Số lần chậm thanh toán thẻ|Bảo đảm tiền vay bằng tài sản|Số lượng tài sản bảo đảm|Số TCTD có tài sản bảo đảm|STT|Mã TCTD|"
    "Tên TCTD|Loại dư nợ|Số tiền|Tổng cộng|Tổng cộng VND|Ngày báo cáo gần nhất|Tháng|Dư nợ vay (*)|Dư nợ thẻ|Tổng dư nợ|"
    "Tên TCTD/Chi nhánh TCTD|Ngày phát sinh cuối cùng|Nhóm nợ|Số tiền VND|USD|VND|Ngày ký|Ngày kết thúc|Ngày ký hợp đồng|"
    "Ngày kết thúc hợp đồng|Số hợp đồng|Sản phẩm tra cứu|Ngày tra cứu|Thời gian tra cứu|Đơn vị: Triệu VND|Đơn vị tính: triệu đồng|"
    "Tổ chức tín dụng|Mã chi nhánh|Ngày báo cáo|Có|Không|Y|N|Hạng|Điểm"
).split("|")
HEADINGS = (
    "NGÂN HÀNG NHÀ NƯỚC VIỆT NAM|TRUNG TÂM THÔNG TIN TÍN DỤNG|QUỐC GIA VIỆT NAM|CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM|"
    "Độc lập - Tự do - Hạnh phúc|BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG|KHÁCH HÀNG VAY THỂ NHÂN|(mã phiếu S11A)|"
    "THÔNG TIN CHUNG VỀ KHÁCH HÀNG|Thông tin nhận dạng|Thông tin định danh|Chi tiết về nợ vay (không bao gồm nợ thẻ tín dụng)|"
    "Tình trạng dư nợ tín dụng hiện tại|Thông tin Thẻ tín dụng và dư nợ thẻ tín dụng|THÔNG TIN ĐIỂM TÍN DỤNG|"
    "Dư nợ đã bán cho Công ty quản lý tài sản của các TCTD Việt Nam (VAMC)|Diễn biến dư nợ 12 tháng gần nhất|"
    "Lịch sử nợ xấu tín dụng trong 05 năm gần nhất|Lịch sử nợ xấu 5 năm gần nhất|"
    "Lịch sử chậm thanh toán thẻ tín dụng trong 03 năm gần nhất|Nợ cần chú ý trong vòng 12 tháng gần nhất|"
    "Thông tin về tài sản đảm bảo|Thông tin về đảm bảo tiền vay|Thông tin về hợp đồng tín dụng|THÔNG TIN QUAN HỆ TÍN DỤNG|"
    "DANH SÁCH TCTD TRA CỨU THÔNG TIN QUAN HỆ TÍN DỤNG CỦA KHÁCH HÀNG|(trong 1 năm gần nhất)|THÔNG TIN KHÁC VỀ KHÁCH HÀNG VAY|"
    "KẾT THÚC BÁO CÁO|THÔNG TIN TÍN DỤNG KHÁCH HÀNG VAY CÁ NHÂN"
).split("|")
SENTENCES = (
    "Khách hàng không có nợ xấu trong 05 năm gần nhất.|Không có thông tin về hợp đồng tín dụng.|Không có|Không có.|"
    "Khách hàng không có dư nợ đã bán cho VAMC.|Không có thông tin.|Khách hàng hiện không có quan hệ tín dụng tại TCTD.|"
    "Khách hàng không có thẻ tín dụng.|(*) Bao gồm cả dư nợ ngoại tệ đã quy đổi.|(-): Thiếu kỳ báo cáo số liệu.|"
    "Khách hàng không có tài sản bảo đảm.|Khách hàng không có nợ cần chú ý trong 12 tháng gần nhất.|"
    "Không có TCTD tra cứu thông tin trong 1 năm gần nhất.|Khách hàng không chậm thanh toán thẻ trong 03 năm gần nhất.|"
    "Điểm tín dụng cao hơn 9%|Báo cáo này chỉ có giá trị tham khảo tại thời điểm tra cứu.|"
    "Thông tin do các tổ chức tín dụng cung cấp và chịu trách nhiệm.|Tài liệu mật, không sao chép dưới mọi hình thức."
).split("|")

_WORD_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def choice(rng: np.random.Generator, options):
    """One of a sequence; plain Python, many times faster than Generator.choice."""
    return options[int(rng.integers(len(options)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    return rng.random() < probability


@lru_cache(maxsize=1)
def syllables() -> list[str]:
    """Vietnamese syllables: the spelling dictionary's when it is installed, otherwise those of this file's own text."""
    words: set[str] = set()
    if os.path.exists(HUNSPELL):
        with open(HUNSPELL, encoding="utf-8") as lines:
            for line in lines:
                words.update(unicodedata.normalize("NFC", line).split("/")[0].split())
    else:
        for text in (
            HEADINGS + LABELS + SENTENCES + _STREETS + _PLACES + [name for _, name in LENDERS] + _FAMILY + _GIVEN
        ):
            words.update(text.split())
    letters = set(ALPHABET)
    return sorted(w for w in words if w.isalpha() and set(w) <= letters)


def digits(rng, count: int) -> str:
    return "".join(map(str, rng.integers(0, 10, count)))


def word(rng) -> str:
    return choice(rng, syllables())


def words(rng, low: int, high: int) -> str:
    return " ".join(word(rng) for _ in range(int(rng.integers(low, high + 1))))


def person(rng) -> str:
    given = choice(rng, _GIVEN) if chance(rng, 0.85) else word(rng).capitalize()
    middle = [choice(rng, _MIDDLE) for _ in range(choice(rng, (0, 1, 1, 1, 2)))]
    return " ".join([choice(rng, _FAMILY), *middle, given])


def place(rng) -> str:
    """A ward, district or branch: a known one, or one that no list holds."""
    if chance(rng, 0.6):
        return choice(rng, _PLACES)
    return words(rng, 2, 3 if chance(rng, 0.3) else 2).title().replace("'S", "'s")


def _province(rng, names) -> str:
    name = choice(rng, names)
    if name in _CITIES:
        prefix = choice(rng, ("Thành phố", "Thành phố", "TP", "TP.", "Tp."))
    else:
        prefix = choice(rng, ("Tỉnh", "Tỉnh", "tỉnh", ""))
    return f"{prefix} {name}".strip()


def _house(rng) -> str:
    number = str(rng.integers(1, 999)) + choice(
        rng, ("", "", "A", "B", "/" + str(rng.integers(1, 99)), "Bis", "-" + str(rng.integers(1, 99)))
    )
    street = choice(rng, _STREETS) if chance(rng, 0.6) else words(rng, 2, 3).title()
    return choice(
        rng,
        (
            f"Số {number} {street}",
            f"{number} {street}",
            f"Số nhà {number}, đường {street}",
            f"Số nhà {number}, tổ {rng.integers(1, 40)}",
            f"Tổ {rng.integers(1, 60)}, khu phố {rng.integers(1, 12)}",
            f"Ấp {rng.integers(1, 9)}",
            f"Ấp {place(rng)}",
            f"Thôn {place(rng)}",
            f"Xóm {rng.integers(1, 12)}, thôn {place(rng)}",
            f"Khối {rng.integers(1, 20)}",
            f"Ngõ {rng.integers(1, 400)}, {street}",
            f"P{rng.integers(101, 3620)} CT{rng.integers(1, 9)}, chung cư {place(rng)}",
            f"Căn hộ {choice(rng, 'ABCDEHS')}{rng.integers(1, 30)}.{rng.integers(1, 20):02d}, {street}",
            f"Buôn {place(rng)}",
            f"Bản {place(rng)}",
            f"{number}, KP.{rng.integers(1, 9)}",
        ),
    )


def address(rng) -> str:
    """Three levels (ward, district, province) as until 2025, or two as since."""
    ward = (
        choice(rng, ("Phường", "Xã", "Xã", "Phường", "P.", "Thị trấn"))
        + " "
        + (place(rng) if chance(rng, 0.85) else str(rng.integers(1, 28)))
    )
    parts = [_house(rng)] if chance(rng, 0.9) else []
    if chance(rng, 0.5):
        district = choice(rng, ("Quận", "Huyện", "Huyện", "Thị xã", "Q.", "TP.")) + " " + place(rng)
        parts += [ward, district, _province(rng, _OLD_PROVINCES)]
    else:
        parts += [ward, _province(rng, _NEW_PROVINCES)]
    if chance(rng, 0.12):
        parts.append("Việt Nam")
    text = choice(rng, (", ", ", ", ", ", ", ", " - ", ",")).join(parts)
    return text.upper() if chance(rng, 0.3) else text


def lender_code(rng) -> str:
    """Province 2, institution 3, unit 3."""
    if chance(rng, 0.5):
        return digits(rng, 8)
    return choice(rng, PROVINCE_CODES)[1:] + str(rng.integers(200, 999)) + f"{rng.integers(1, 40):03d}"


def lender(rng) -> tuple[str, str]:
    """Code and name without a branch."""
    dice = rng.random()
    if dice < 0.55:
        code, name = choice(rng, LENDERS)
        if code == "?":
            code = choice(rng, ("01", "79")) + str(rng.integers(700, 912)) + "001"
        if name.startswith("Quỹ"):
            name += " " + place(rng)
        return code if chance(rng, 0.7) else lender_code(rng), name
    own = words(rng, 1, 3).title() if chance(rng, 0.7) else latin_word(rng)
    pattern = choice(
        rng,
        (
            "Ngân hàng TMCP {}", "Ngân hàng TNHH MTV {} Việt Nam", "Công ty Tài chính TNHH MTV {}", "Công ty Tài chính Cổ phần {}",
            "Công ty Cho thuê tài chính TNHH {}", "Quỹ tín dụng nhân dân {}", "Ngân hàng Hợp tác xã {}", "NH TMCP {}",
            "Ngân hàng Liên doanh {}", "Công ty Tài chính TNHH {} (Việt Nam)", "{} Bank", "Tổ chức tài chính vi mô {}",
        ),
    )  # fmt: skip
    return lender_code(rng), pattern.format(own)


def branch(rng) -> str:
    """How a branch follows its lender's name: empty for a head office."""
    return choice(rng, ("", " - Chi nhánh {}", " - CN {}", " - Chi nhánh {}", " - PGD {}", "- CN {}")).format(
        place(rng)
    )


def latin_word(rng) -> str:
    text = "".join(choice(rng, "abcdefghijklmnopqrstuvwxyz") for _ in range(int(rng.integers(2, 9))))
    return choice(rng, (text.capitalize(), text.upper(), text))


def amount(rng, top: float = 5.2) -> str:
    """Millions of VND with thousands separated; lengths and digits evenly spread."""
    return f"{int(10 ** rng.uniform(0, top)):,}"


def date(rng, low: int = 2005, high: int = 2045) -> datetime.date:
    start = datetime.date(low, 1, 1).toordinal()
    return datetime.date.fromordinal(int(rng.integers(start, datetime.date(high, 12, 31).toordinal())))


def dmy(day: datetime.date) -> str:
    return day.strftime("%d/%m/%Y")


def clock(rng, seconds: bool) -> str:
    text = f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
    return text + f":{rng.integers(0, 60):02d}" if seconds else text


def phone(rng) -> str:
    number = choice(rng, ("024", "028", "09", "03", "0236", "1900", "08")) + digits(rng, 8)
    return choice(
        rng,
        (number, number[:4] + " " + number[4:], number[:3] + "." + number[3:], "(" + number[:3] + ") " + number[3:]),
    )


def contract_number(rng) -> str:
    head = digits(rng, int(rng.integers(3, 8)))
    return choice(
        rng,
        (
            f"{head}/{rng.integers(10, 27)}/HĐTD", f"{head}/{rng.integers(2015, 2027)}/HĐTD-{latin_word(rng).upper()}", f"LD{digits(rng, 10)}",
            f"{head}-{digits(rng, 4)}-{digits(rng, 3)}", f"HĐ{head}", f"{digits(rng, 4)}.{digits(rng, 4)}/HĐCV", digits(rng, 12),
        ),
    )  # fmt: skip


def alphanumeric(rng) -> str:
    """Letters, digits and every mark of punctuation, with no sense at all."""
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~–·°"
    out = []
    for _ in range(int(rng.integers(1, 5))):
        pool = choice(
            rng, (_WORD_CHARACTERS, _WORD_CHARACTERS + marks, "0123456789", "0123456789.,/-:()%", VIETNAMESE, marks)
        )
        out.append("".join(choice(rng, pool) for _ in range(int(rng.integers(1, 9)))))
    return " ".join(out)


def sentence(rng) -> str:
    text = words(rng, 3, 12)
    text = text[:1].upper() + text[1:]
    if chance(rng, 0.3):
        text = text.replace(" ", choice(rng, (", ", "; ", " - ", " (")), 1)
        if "(" in text:
            text += ")"
    return text + choice(rng, ("", ".", ".", ":", "…".replace("…", "..."), "!", "?"))


def heading_number(rng) -> str:
    """What stands before a heading: the paper's versions disagree on it."""
    one, two = rng.integers(1, 9, 2)
    return choice(
        rng,
        (
            "",
            f"{one}. ",
            f"{one}.{two}. ",
            f"{one}.{two} ",
            f"{'I' * min(one, 3)}. ",
            f"{choice(rng, 'abcABC')}) ",
            f"{one}.{two}.1. ",
        ),
    )


def _cut(rng, text: str) -> str:
    """A piece of a longer text at word boundaries, as a narrow cell would wrap it."""
    parts = text.split()
    if len(parts) < 3 or chance(rng, 0.35):
        return text
    start = int(rng.integers(0, len(parts) - 1))
    return " ".join(parts[start : start + int(rng.integers(1, len(parts) + 1))])


def _date_text(rng) -> str:
    day = dmy(date(rng))
    return choice(
        rng,
        (
            day, day, day, f"{clock(rng, False)} - {day}", f"{clock(rng, True)} {day}", day[3:], f"{day} {clock(rng, False)}",
            f"{day[:2]}-{day[3:5]}-{day[6:]}", f"Ngày {day[:2]} tháng {day[3:5]} năm {day[6:]}", f"{int(day[3:5])}/{int(day[:2])}/{day[8:]}",
        ),
    )  # fmt: skip


def _code_text(rng) -> str:
    return choice(
        rng,
        (
            digits(rng, 8), digits(rng, 10), digits(rng, 9), digits(rng, 12), f"{digits(rng, 9)} / {digits(rng, 12)}", lender_code(rng),
            f"{digits(rng, 8)}S11A{rng.integers(2015, 2030)}", f"{digits(rng, 3)}", digits(rng, 1), f"{digits(rng, 2)}%", contract_number(rng),
            f"{choice(rng, 'ABCDEFGHKLMNPRSTUVX')}{digits(rng, 2)}", phone(rng), f"{rng.integers(1, 99):02d}",
        ),
    )  # fmt: skip


def _amount_text(rng) -> str:
    return choice(
        rng,
        (
            amount(rng), amount(rng, 4), amount(rng, 9), amount(rng, 3), "0", "(-)", digits(rng, 1), amount(rng) + " triệu đồng", amount(rng) + " VND",
            f"{rng.uniform(0, 9999):,.2f}", f"{amount(rng)} - {amount(rng)}", f"({amount(rng)})", amount(rng).replace(",", "."), "-" + amount(rng),
        ),
    )  # fmt: skip


def _lender_text(rng) -> str:
    code, name = lender(rng)
    return choice(rng, ("", "", "", code + " ", f"{code} - ", f"{rng.integers(1, 30)}. ")) + name + branch(rng)


def _debt_text(rng) -> str:
    name = choice(rng, TERM_DEBTS) if chance(rng, 0.5) else "- " + choice(rng, GROUP_DEBTS)
    return name + choice(rng, ("", "", ":", ": " + amount(rng)))


_KINDS = (
    (0.07, lambda rng: heading_number(rng) + choice(rng, HEADINGS)),
    (0.09, lambda rng: choice(rng, LABELS) + choice(rng, ("", "", ":"))),
    (0.06, person),
    (0.09, address),
    (0.10, _lender_text),
    (0.10, _code_text),
    (0.10, _date_text),
    (0.10, _amount_text),
    (0.05, _debt_text),
    (0.04, lambda rng: choice(rng, SENTENCES)),
    (0.03, lambda rng: choice(rng, PRODUCTS)),
    (0.04, sentence),
    (0.05, lambda rng: words(rng, 1, 6)),
    (0.06, alphanumeric),
    (0.02, lambda rng: choice(rng, "☐☑☒✓☐☑☐")),
)
_EDGES = np.cumsum([weight for weight, _ in _KINDS])


def random_text(rng: np.random.Generator) -> str:
    """One line of text as a cell or paragraph of the paper could hold it, or letters without sense; never empty."""
    kind = _KINDS[int(np.searchsorted(_EDGES, rng.random() * _EDGES[-1], side="right"))][1]
    text = kind(rng)
    if len(text) > 1:
        text = _cut(rng, text)
        dice = rng.random()
        if dice < 0.15:
            text = text.upper()
        elif dice < 0.19:
            text = text.title()
        elif dice < 0.21:
            text = text.lower()
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    # Longer than any line of A4 at 8 pt would be lost on the reader.
    return text[:110].strip()
