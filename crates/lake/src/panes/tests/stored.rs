//! The stored form: fixed bytes, and hostile ones.

use proptest::prelude::*;

use super::{plan, read, row};
use crate::panes::{PANES_BYTES_MAX, Pane, Panes, decode_pane, decode_panes, encode_pane, encode_panes};

/// Two panes, 300 apart, the first before 1970: three rows (one of NaN), and one without values.
fn panes() -> Vec<(i64, Pane)> {
    let plan = plan(&[], "0us");
    let empty = super::Row { amount: None, ..row(4, 2_990, 0.0) };
    let rows = [row(1, -10, 1.5), row(2, -9, -2.0), row(3, -8, f64::NAN), empty];
    let panes = Panes::of(plan.clone(), &read(&plan, &rows)).unwrap();
    let entity = panes.entities().next().unwrap().clone();
    panes.of_entity(&entity).into_iter().map(|(index, pane)| (index, pane.clone())).collect()
}

fn referenced(panes: &[(i64, Pane)]) -> Vec<(i64, &Pane)> {
    panes.iter().map(|(index, pane)| (*index, pane)).collect()
}

const NAN: &str = "000000000000f87f";

#[test]
fn version_1_never_changes() {
    let panes = panes();
    // Three rows; two columns; three values: sum, mean and deviations NaN, min -2, max and last NaN; none of the other.
    let body = format!("03020{}{NAN}{NAN}{NAN}00000000000000c0{NAN}{NAN}00", 3);
    assert_eq!(hex::encode(encode_pane(&panes[0].1)), format!("01{body}"));
    // Two panes; -1 in zigzag; 299 in between.
    let expected = format!("010201{body}ab0201020000");
    assert_eq!(hex::encode(encode_panes(&referenced(&panes))), expected);
    // A NaN is not equal to itself: their debug form is.
    let again = decode_panes(&encode_panes(&referenced(&panes)), 2).unwrap();
    assert_eq!(format!("{again:?}"), format!("{panes:?}"));
    let again = decode_pane(&encode_pane(&panes[0].1), 2).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", panes[0].1));
    assert_eq!(decode_panes(&[1, 0], 2).unwrap(), []);
}

#[test]
fn what_was_never_written_is_refused() {
    let nan = [0, 0, 0, 0, 0, 0, 0xf8, 0xff];
    let mut odd_nan = vec![1, 1, 1, 1];
    odd_nan.extend([nan; 6].concat());
    for (bytes, said) in [
        (vec![], "they are empty"),
        (vec![2], "have version 2, this program reads version 1"),
        (vec![0], "have version 0"),
        (vec![1], "they end too early"),
        (vec![1, 1, 1, 1, 0, 0], "they end too early"),
        (vec![1, 1, 2, 0, 0], "another number of columns"),
        (vec![1, 1, 1, 2], "a column has more values than rows"),
        (vec![1, 1, 1, 0, 0], "something follows them"),
        (vec![1, 0x81, 0x00, 1, 0], "a number has another form"),
        (
            vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 1, 0],
            "a number has another form",
        ),
        (odd_nan, "a NaN has another form"),
        (vec![1; PANES_BYTES_MAX + 1], "longer than any"),
    ] {
        let message = decode_pane(&bytes, 1).unwrap_err().to_string();
        assert!(message.contains(said), "{}: {message}", hex::encode(&bytes[..bytes.len().min(20)]));
    }
    // More panes than the bytes hold, and an index beyond all.
    let many = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(decode_panes(&many, 1).unwrap_err().to_string().contains("they end too early"));
    let far = [1, 2, 2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0];
    assert!(decode_panes(&far, 0).unwrap_err().to_string().contains("an index is too large"));
}

proptest! {
    /// Whatever is read has one form, and no bytes make the reader panic.
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), columns in 0_usize..4) {
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        if let Ok(panes) = decode_panes(&bytes, columns) {
            prop_assert_eq!(encode_panes(&referenced(&panes)), bytes.clone());
        }
        if let Ok(pane) = decode_pane(&bytes, columns) {
            prop_assert_eq!(encode_pane(&pane), bytes);
        }
    }

    #[test]
    fn damaged_panes_are_read_or_refused(at in 0_usize..70, byte in any::<u8>(), cut in 0_usize..70) {
        let panes = panes();
        let mut bytes = encode_panes(&referenced(&panes));
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut / 8));
        if let Ok(panes) = decode_panes(&bytes, 2) {
            prop_assert_eq!(encode_panes(&referenced(&panes)), bytes);
        }
    }
}
