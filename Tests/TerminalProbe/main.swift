// A program for the tests of standard streams and terminals, which need a process and a terminal of their own. Its argument says what it does.
import AsyncUV
import Foundation

func note(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
}

func openDescriptors() -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1
}

/// Copies input to output; what is not out at the end is written by the loop that closes.
func copy() async throws {
    let output = try StandardStream.output()
    while let bytes = try await StandardStream.input().read() { try await output.write(bytes) }
}

/// Lines without end, until nobody takes them any more.
func flood() async throws {
    let output = try StandardStream.output()
    do {
        while true { try await output.write("yes\n".utf8) }
    } catch let error as LoopError {
        note("\(error.code): \(error)")
    }
}

/// Cancels a read every so often, and still copies everything.
func copyWithCancels() async throws {
    let input = try StandardStream.input(), output = try StandardStream.output()
    var cancels = 0
    while true {
        do {
            guard let bytes = try await withTimeout(.milliseconds(1), { try await input.read(atMost: 1_000) }) else { break }
            try await output.write(bytes)
        } catch is TimeoutError {
            cancels += 1
        }
    }
    note("cancels: \(cancels > 0)")
}

func describe() throws {
    let streams = try [StandardStream.input(), StandardStream.output(), StandardStream.error()]
    note(streams.map { "\($0.kind)" }.joined(separator: " "))
    note("non-blocking: \((0...2).map { fcntl($0, F_GETFL) & O_NONBLOCK != 0 })")
}

/// What is left of the terminal's settings when a program ends in raw mode in the one or the other way.
func raw(_ end: String) async throws {
    let stream = try TerminalStream.open()
    try await stream.terminal.withMode(.raw) {
        try await stream.write("inside\r\n".utf8)
        switch end {
        case "return": break
        case "throw": throw LoopError(.misuse, "raw", "on purpose")
        case "exit":
            try await stream.flush()
            exit(3)
        case "crash": fatalError("on purpose")
        default:
            // Until somebody ends it, or types q.
            while let bytes = try await stream.read(), bytes != [UInt8(ascii: "q")] { try await stream.write("\(bytes)\r\n".utf8) }
        }
    }
    try await stream.close()
}

/// The size, and the next one.
func sizes() async throws {
    let stream = try TerminalStream.open()
    let output = try StandardStream.output()
    var count = 0
    for try await size in stream.terminal.sizes {
        try await output.write("\(size)\n".utf8)
        count += 1
        if count == 2 { break }
    }
    try await stream.close()
}

func password() async throws {
    let stream = try TerminalStream.open()
    try await stream.write("Password: ".utf8)
    let typed = try await stream.terminal.withMode(.noEcho) { try await stream.read() } ?? []
    try await stream.write("\n\(typed.count - 1) characters\n".utf8)
    try await stream.close()
}

let mode = CommandLine.arguments.dropFirst().first ?? ""
do {
    // The first loop opens a few descriptors that are kept for the process's life.
    try EventLoop.run {}
    let before = openDescriptors()
    try EventLoop.run(grace: mode == "stuck" ? .milliseconds(500) : .seconds(30)) {
        switch mode {
        case "copy": try await copy()
        case "cancels": try await copyWithCancels()
        case "flood": try await flood()
        case "describe": try describe()
        case "late", "stuck":
            // Admitted, and left for the end.
            let output = try StandardStream.output()
            try output.setHighWaterMark(4 << 20)
            try await output.write([UInt8](repeating: UInt8(ascii: "x"), count: 2 << 20))
        case "end":
            let output = try StandardStream.output()
            try await output.write("last\n".utf8)
            try output.closeWrite()
            print("nowhere")
            _ = try await StandardStream.input().read()
            note("after the end")
        case "again":
            let output = try StandardStream.output()
            note("same: \(try StandardStream.output() === output)")
            try await output.write("one\n".utf8)
            try await output.close()
            try await StandardStream.output().write("two\n".utf8)
            print("three")
        case "other":
            _ = try StandardStream.output()
            try await LoopTask.runBlocking {
                let other = try EventLoop()
                do { _ = try StandardStream.output(on: other) } catch let error as LoopError { note("\(error.code)") }
                try other.close()
            }
        case "closed":
            let input = try StandardStream.input()
            note("\(input.kind) \(try await input.read() == nil)")
            close(0)
            try await input.close()
            do { _ = try StandardStream.input() } catch let error as LoopError { note("\(error.code): \(error)") }
            // The lowest number that is free.
            _ = dup(1)
        case "raw": try await raw(CommandLine.arguments.dropFirst(2).first ?? "")
        case "sizes": try await sizes()
        case "password": try await password()
        default: note("unknown mode \(mode)")
        }
    }
    // A thread that waited is told by then, but takes a moment to let go.
    for _ in 0..<500 where openDescriptors() > before { usleep(10_000) }
    note("descriptors left: \(openDescriptors() - before)")
} catch {
    note("failed: \(error)")
    exit(1)
}
