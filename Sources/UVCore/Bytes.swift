internal import CLibUV
internal import Glibc

/// Looking through bytes where they lie.
public enum Bytes {
    /// Where `pattern`, which is not empty, begins for the first time at or after `start`; nil if it does not. In linear time.
    public static func firstIndex(of pattern: Span<UInt8>, in bytes: Span<UInt8>, from start: Int) -> Int? {
        if pattern.isEmpty || start < 0 || bytes.count - start < pattern.count { return nil }
        return unsafe bytes.withUnsafeBytes { place in
            unsafe pattern.withUnsafeBytes { wanted -> Int? in
                // SAFETY: both calls stay within the lengths they are given, and keep nothing.
                let base = unsafe place.baseAddress.unsafelyUnwrapped
                let count = place.count - start
                let found =
                    wanted.count == 1
                    ? unsafe memchr(base + start, Int32(wanted[0]), count)
                    : unsafe clibuv_memmem(base + start, count, wanted.baseAddress.unsafelyUnwrapped, wanted.count)
                guard let found = unsafe found else { return nil }
                return unsafe UnsafeRawPointer(found) - base
            }
        }
    }

    /// As text; what is not UTF-8 becomes U+FFFD.
    public static func text(_ bytes: Span<UInt8>) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    public static func array(_ bytes: Span<UInt8>) -> [UInt8] {
        unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
