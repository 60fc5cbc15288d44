//! Numbers as RFC 8785 section 3.2.2.3 writes them: IEEE 754 doubles in the form of ECMAScript.
//!
//! Takes: the text of a JSON number. Gives: its canonical text, and what became of the number on the way.
//! Guarantees: one canonical text for one double. Refuses: numbers beyond the range of a double.

/// What a number's text is worth after the way through a double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fidelity {
    /// The text is the canonical text.
    Exact,
    /// The same number in another spelling: `7.50` became `7.5`, `1e2` became `100`.
    Rewritten,
    /// Another number: digits were lost.
    Damaged,
}

/// Integers up to this many digits are doubles, and their own canonical text.
const EXACT_DIGITS: usize = 15;
/// Appends the canonical text of the number `text`, which is of JSON's grammar; `None` if no finite double is near it.
pub(super) fn write(text: &str, out: &mut Vec<u8>) -> Option<Fidelity> {
    let bytes = text.as_bytes();
    if bytes.len() <= EXACT_DIGITS && bytes.iter().all(u8::is_ascii_digit) {
        out.extend_from_slice(bytes);
        return Some(Fidelity::Exact);
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let sent = significant(text);
    if value == 0.0 {
        out.push(b'0');
        return Some(if sent.0.is_empty() { Fidelity::Rewritten } else { Fidelity::Damaged });
    }
    let mut buffer = ryu_js::Buffer::new();
    let canonical = buffer.format_finite(value);
    out.extend_from_slice(canonical.as_bytes());
    Some(if canonical == text {
        Fidelity::Exact
    } else if significant(canonical) == sent {
        Fidelity::Rewritten
    } else {
        Fidelity::Damaged
    })
}

/// The digits between leading and trailing zeros, and the power of ten of the first of them, counted from one.
fn significant(text: &str) -> (String, i64) {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let zeros = i64::try_from(all.len() - digits.len()).unwrap_or(i64::MAX / 4);
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX / 4);
    (digits.trim_end_matches('0').to_owned(), exponent.saturating_add(point).saturating_sub(zeros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> (String, Fidelity) {
        let mut out = Vec::new();
        let fidelity = write(text, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), fidelity)
    }

    /// RFC 8785 appendix B.
    #[test]
    fn doubles_are_written_as_the_standard_lists_them() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let value = f64::from_bits(bits);
            assert_eq!(canonical(&format!("{value:.30e}")).0, text, "{bits:x}");
        }
    }

    #[test]
    fn what_becomes_of_a_number_is_told() {
        for (text, written, fidelity) in [
            ("0", "0", Fidelity::Exact),
            ("-0", "0", Fidelity::Rewritten),
            ("0.00", "0", Fidelity::Rewritten),
            ("13.2", "13.2", Fidelity::Exact),
            ("7.50", "7.5", Fidelity::Rewritten),
            ("1e2", "100", Fidelity::Rewritten),
            ("1E-7", "1e-7", Fidelity::Rewritten),
            ("1e-7", "1e-7", Fidelity::Exact),
            ("123456789012345", "123456789012345", Fidelity::Exact),
            ("9007199254740993", "9007199254740992", Fidelity::Damaged),
            ("123456789012345678901234567890", "1.2345678901234568e+29", Fidelity::Damaged),
            ("100000000000000000000.10", "100000000000000000000", Fidelity::Damaged),
            ("0.1234567890123456789", "0.12345678901234568", Fidelity::Damaged),
            ("1e-400", "0", Fidelity::Damaged),
            ("0e99999999999999999999", "0", Fidelity::Rewritten),
            ("-1.5", "-1.5", Fidelity::Exact),
        ] {
            assert_eq!(canonical(text), (written.to_owned(), fidelity), "{text}");
        }
        assert!(write("1e400", &mut Vec::new()).is_none());
        assert!(write("-1e99999999999999999999", &mut Vec::new()).is_none());
    }
}
