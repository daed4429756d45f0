//! What decoding a body allocates, counted by an allocator of our own, against what was reserved for it: never more.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::prelude::*;
use serde_json::Value;
use sidegate::wire::http::decoded_size::{BodyFormat, MAX_ESTIMATED_BYTES, max_decoded_bytes};
use sidegate::wire::http::params::Params;

/// What an allocator itself takes for each allocation.
const ALLOCATION_OVERHEAD: isize = 16;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

thread_local! {
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn count(bytes: isize) {
    let _thread_ends = ALLOCATED.try_with(|allocated| {
        allocated.set(allocated.get() + bytes);
        let _thread_ends = PEAK.try_with(|peak| peak.set(peak.get().max(allocated.get())));
    });
}

fn size(layout: Layout) -> isize {
    isize::try_from(layout.size()).unwrap_or(isize::MAX) + ALLOCATION_OVERHEAD
}

// SAFETY: every call goes to the system's allocator as it came; growing keeps the default, which allocates, copies and frees.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the contract of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller keeps the contract of the trait.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most that is allocated at one moment while a body is decoded.
fn peak_of_decoding(content_type: &str, body: &[u8]) -> usize {
    let before = ALLOCATED.get();
    PEAK.set(before);
    let decoded = Params::parse(None, Some(content_type), body);
    let peak = PEAK.get() - before;
    drop(decoded);
    usize::try_from(peak).unwrap_or(usize::MAX)
}

fn assert_weight_covers(content_type: &str, body: &[u8]) {
    let weight = max_decoded_bytes(BodyFormat::of(Some(content_type)), body);
    let peak = peak_of_decoding(content_type, body);
    // What an error says is bounded by itself.
    assert!(peak <= weight + 8192, "{peak} > {weight}: {} bytes, {:.80}", body.len(), String::from_utf8_lossy(body));
}

#[test]
fn no_hostile_shape_takes_more_than_it_was_weighed() {
    for bytes in [64, MAX_ESTIMATED_BYTES, MAX_ESTIMATED_BYTES + 64, 20_000, 300_000] {
        for shape in ["{\"\":1},", "{\"a\":{\"b\":[1]}},", "[1],", "[[1]],", "1,", "\"\",", "\"a\",", "\"\\u0000\",", "[],", "{},", "null,"]
        {
            let list = format!("{{\"a\":[{}0]}}", shape.repeat(bytes / shape.len()));
            assert_weight_covers(JSON, list.as_bytes());
        }
        for shape in ["x", "\\u0000", "\\n", "é"] {
            assert_weight_covers(JSON, format!("{{\"a\":\"{}\"}}", shape.repeat(bytes / shape.len())).as_bytes());
        }
        let names = |value: &str| (0..bytes / 8).map(|name| format!("\"{name}\":{value},")).collect::<String>();
        for value in ["1", "\"\"", "{\"a\":1}", "[1]"] {
            assert_weight_covers(JSON, format!("{{{}\"a\":1}}", names(value)).as_bytes());
        }
        for shape in ["[", "{\"a\":", "{", ",", "\"", "\\"] {
            assert_weight_covers(JSON, shape.repeat(bytes / shape.len()).as_bytes());
            assert_weight_covers(JSON, format!("{{\"a\":[{}", shape.repeat(bytes / shape.len())).as_bytes());
        }
        for shape in ["a[]=&", "a[][b]=1&", "a[][b][c][d]=%41&", "a%5B%5D%5Bb%5D=1&", "a[", "a[]", "a[b]", "%41", "+", "x"] {
            assert_weight_covers(FORM, shape.repeat(bytes / shape.len()).as_bytes());
            assert_weight_covers(FORM, format!("a={}", shape.repeat(bytes / shape.len())).as_bytes());
        }
        let pairs: String = (0..bytes / 12).map(|name| format!("{name}[a][b]=1&")).collect();
        assert_weight_covers(FORM, pairs.as_bytes());
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\x00-\\x1f]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 400, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..24).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_decoded_never_takes_more_than_it_was_weighed(value in any_value(), copies in 1_usize..40, cut: prop::sample::Index) {
        let copies: Vec<&Value> = std::iter::repeat_n(&value, copies).collect();
        let body = serde_json::json!({ "a": copies }).to_string();
        assert_weight_covers(JSON, body.as_bytes());
        assert_weight_covers(JSON, &body.as_bytes()[..cut.index(body.len())]);
    }

    #[test]
    fn a_form_never_takes_more_than_it_was_weighed(pairs in prop::collection::vec("[ab]{1,3}(\\[[a-d]?\\]){0,8}=([x+]|%41|é){0,20}", 0..300)) {
        assert_weight_covers(FORM, pairs.join("&").as_bytes());
    }

    #[test]
    fn no_bytes_take_more_than_they_were_weighed(body in "([\\[\\]{}:,\"1a&=%]|\\\\u0000|\\\\|%5B|%5d){0,3000}") {
        for content_type in [JSON, FORM] {
            assert_weight_covers(content_type, body.as_bytes());
        }
    }
}
