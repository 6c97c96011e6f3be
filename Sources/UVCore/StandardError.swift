internal import Glibc

/// stderr, written with one `write(2)` a line, so that lines of several threads do not mix.
public enum StandardError {
    public static func write(_ text: String) {
        var bytes = ArraySlice(text.utf8)
        while !bytes.isEmpty {
            let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            // A closed or full stderr is nothing that can be reported anywhere.
            if written <= 0 { return }
            bytes = bytes.dropFirst(written)
        }
    }
}
