import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// Both sides of a terminal of its own, for the time of `body`.
private func withTerminal(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (_ controller: TerminalStream, _ program: TerminalStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let controller = try TerminalStream.controller()
        let program: TerminalStream
        do {
            program = try TerminalStream.open(controller.terminal.name)
        } catch {
            controller.abort()
            throw error
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(controller, program))
        } catch {
            result = .failure(error)
        }
        controller.abort()
        program.abort()
        try await until(sourceLocation: sourceLocation) { controller.loop.chunks.taken == 0 }
        #expect(controller.loop.outstanding == 0, sourceLocation: sourceLocation)
        try result.get()
    }
}

extension LoopStream {
    /// Reads until what has come ends so.
    fileprivate func read(upTo end: String) async throws -> String {
        var all: [UInt8] = []
        // As bytes: to a string, \r\n is one character.
        while all.suffix(end.utf8.count) != ArraySlice(end.utf8), let bytes = try await read() { all += bytes }
        return String(decoding: all, as: UTF8.self)
    }
}

extension Terminal {
    /// As stty(1) sees them.
    fileprivate func settings() async throws -> [Substring] {
        let path = name
        return try await LoopTask.runBlocking {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("asyncuv-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let tool = try Tool("stty", "-F", path, "-a", input: "/dev/null", output: folder)
            #expect(tool.end() == 0)
            return String(decoding: try tool.received(), as: UTF8.self).split { $0.isWhitespace || $0 == ";" }
        }
    }
}

@Suite struct TerminalStreamTests {
    @Test func whatIsTypedIsReadAsLinesAndWhatIsWrittenIsShown() async throws {
        try await withTerminal { controller, program in
            let reading = LoopTask { try await program.read() }
            try await controller.write("hel".utf8)
            #expect(try await controller.read(upTo: "hel") == "hel")
            #expect(reading.isWaiting)
            try await controller.write("lo\r".utf8)
            #expect(try await reading.value == Array("hello\n".utf8))
            #expect(try await controller.read(upTo: "\n") == "lo\r\n")
            try await program.write("shown\n".utf8)
            #expect(try await controller.read(upTo: "\n") == "shown\r\n")
        }
    }

    @Test func controlDIsTheEnd() async throws {
        try await withTerminal { controller, program in
            try await controller.write([4])
            #expect(try await program.read() == nil)
            #expect(try await program.read() == nil)
            try await program.write("still shown".utf8)
            #expect(try await controller.read(upTo: "shown").hasSuffix("still shown"))
        }
    }

    @Test func cancelDuringReadLosesNothingAndReadsNothingMore() async throws {
        try await withTerminal { controller, program in
            let reading = LoopTask { try await program.read() }
            try await until { reading.isWaiting }
            reading.cancel()
            await #expect(throws: CancelledError.self) { try await reading.value }
            try await controller.write("kept\n".utf8)
            _ = try await controller.read(upTo: "\n")
            // Others who read the same terminal would still find it.
            #expect(program.core.available == 0)
            #expect(program.core.transport?.isReading == false)
            #expect(try await program.read() == Array("kept\n".utf8))
        }
    }

    @Test func closeDuringReadThrowsClosed() async throws {
        try await withTerminal { _, program in
            let reading = LoopTask { try await program.read() }
            try await until { reading.isWaiting }
            try await program.close()
            await expectCode(.closed) { try await reading.value }
            await expectCode(.closed) { try await program.write([1]) }
            await expectCode(.closed) { try await program.read() }
            await expectCode(.closed) { try program.terminal.size() }
            await expectCode(.closed) { try await program.terminal.withMode(.raw) {} }
        }
    }

    @Test func aWriteThatWaitsIsCancelledOrClosedAndSentNothing() async throws {
        try await withTerminal { _, program in
            try await program.terminal.withMode(.raw) {
                for isCancelled in [true, false] {
                    let writing = LoopTask { while true { try await program.write([UInt8](repeating: 65, count: 10_000)) } }
                    try await until { writing.isWaiting }
                    if isCancelled {
                        writing.cancel()
                        await #expect(throws: CancelledError.self) { try await writing.value }
                    } else {
                        program.abort()
                        await expectCode(.closed) { try await writing.value }
                    }
                }
            }
        }
    }

    @Test func everythingIsReadBeforeTheEndWhenTheProgramHasHungUp() async throws {
        try await withTerminal { controller, program in
            let expected = counted(0..<300_000)
            let writing = LoopTask {
                try await program.terminal.withMode(.raw) {
                    for byte in expected.prefix(500) { try await program.write([byte]) }
                    try await program.write(Array(expected.dropFirst(500)))
                    try await program.flush()
                }
                try await program.close()
            }
            #expect(try await controller.read(exactly: expected.count) == expected)
            #expect(try await controller.read() == nil)
            try await writing.value
        }
    }

    @Test func aTerminalThatNobodyHasOpenAnyMoreIsAtItsEnd() async throws {
        try await withLoop(clock: .system) {
            let controller = try TerminalStream.controller()
            let program = try TerminalStream.open(controller.terminal.name)
            try await program.write("last words\n".utf8)
            try await program.close()
            #expect(try await controller.read() == Array("last words\r\n".utf8))
            #expect(try await controller.read() == nil)
            try await controller.close()
        }
    }

    @Test func aTerminalWhoseControllerIsGoneIsAtItsEnd() async throws {
        try await withLoop(clock: .system) {
            let controller = try TerminalStream.controller()
            let program = try TerminalStream.open(controller.terminal.name)
            let reading = LoopTask { try await program.read() }
            try await until { reading.isWaiting }
            try await controller.close()
            #expect(try await reading.value == nil)
            await expectCode(.system) { try await program.write([1]) }
            try await program.close()
        }
    }

    @Test func whatIsNoTerminalIsRefused() async throws {
        try await withLoop {
            await expectCode(.misuse) { try TerminalStream.open("/dev/null") }
            await expectCode(.system) { try TerminalStream.open("/dev/none") }
            let pipe = Pipe()
            await expectCode(.misuse) { try Terminal(descriptor: pipe.fileHandleForReading.fileDescriptor) }
            await expectCode(.misuse) { try Terminal(descriptor: 1_000_000) }
            #expect(!Terminal.isTerminal(descriptor: pipe.fileHandleForReading.fileDescriptor))
        }
    }
}

@Suite struct TerminalModeTests {
    @Test(arguments: [Terminal.Mode.raw, .cbreak, .noEcho])
    func aModeHoldsForItsScopeAndIsPutBack(mode: Terminal.Mode) async throws {
        try await withTerminal { controller, program in
            let before = try await program.terminal.settings()
            #expect(before.contains("icanon") && before.contains("echo") && before.contains("isig"))
            try await program.terminal.withMode(mode) {
                let inside = try await program.terminal.settings()
                #expect(inside.contains("-icanon") == (mode != .noEcho))
                #expect(inside.contains("-echo"))
                #expect(inside.contains("-isig") == (mode == .raw))
                #expect(inside.contains("-opost") == (mode == .raw))
                if mode != .noEcho {
                    try await controller.write("x".utf8)
                    #expect(try await program.read() == Array("x".utf8))
                }
            }
            #expect(try await program.terminal.settings() == before)
            await #expect(throws: Boom.self) { try await program.terminal.withMode(mode) { throw Boom() } }
            #expect(try await program.terminal.settings() == before)
            let waiting = LoopTask { try await program.terminal.withMode(mode) { _ = try await program.read() } }
            try await until { waiting.isWaiting }
            waiting.cancel()
            await #expect(throws: CancelledError.self) { try await waiting.value }
            #expect(try await program.terminal.settings() == before)
        }
    }

    @Test func scopesMayEndInAnyOrder() async throws {
        try await withTerminal { _, program in
            let terminal = program.terminal
            let before = try await terminal.settings()
            let first = try Event(), second = try Event()
            let outer = LoopTask { try await terminal.withMode(.raw) { _ = try await first.wait() } }
            try await LoopTask.yield()
            let inner = LoopTask { try await terminal.withMode(.noEcho) { _ = try await second.wait() } }
            try await LoopTask.yield()
            #expect(try await terminal.settings().contains("icanon"))
            try first.set()
            try await outer.value
            #expect(try await terminal.settings().contains("-echo"))
            try second.set()
            try await inner.value
            #expect(try await terminal.settings() == before)
        }
    }

    @Test func everyDescriptorOfATerminalMeansTheSameOne() async throws {
        try await withTerminal { controller, program in
            let another = try TerminalStream.open(controller.terminal.name)
            let before = try await program.terminal.settings()
            try await program.terminal.withMode(.raw) {
                try await another.terminal.withMode(.noEcho) {
                    let inside = try await another.terminal.settings()
                    #expect(inside.contains("-echo") && inside.contains("icanon"))
                }
                #expect(try await program.terminal.settings().contains("-icanon"))
            }
            #expect(try await program.terminal.settings() == before)
            try await another.close()
        }
    }
}

@Suite struct TerminalSizeTests {
    @Test func theSizeIsSeenAtBothSides() async throws {
        try await withTerminal { controller, program in
            #expect(try program.terminal.size() == TerminalSize(columns: 80, rows: 24))
            try controller.terminal.setSize(TerminalSize(columns: 132, rows: 50))
            #expect(try program.terminal.size().description == "132×50")
        }
    }

    @Test func everyoneWhoWaitsHearsOfAnotherSizeAndOfTheLastOneOnly() async throws {
        try await withTerminal { controller, program in
            let seen = Log()
            let watchers = (1...3).map { number in
                LoopTask {
                    for try await size in program.terminal.sizes {
                        seen("\(number): \(size)")
                        if size.columns == 100 { break }
                    }
                }
            }
            try await until { watchers.allSatisfy(\.isWaiting) }
            // Nobody is in the foreground of this terminal: the signal is sent by hand.
            try controller.terminal.setSize(TerminalSize(columns: 90, rows: 1))
            kill(getpid(), SIGWINCH)
            try await until { seen.entries.count == 6 && watchers.allSatisfy(\.isWaiting) }
            try controller.terminal.setSize(TerminalSize(columns: 95, rows: 2))
            try controller.terminal.setSize(TerminalSize(columns: 100, rows: 3))
            kill(getpid(), SIGWINCH)
            for watcher in watchers { try await watcher.value }
            #expect(seen.entries.sorted() == (1...3).flatMap { ["\($0): 100×3", "\($0): 80×24", "\($0): 90×1"] })
        }
    }

    @Test func closeDuringTheWaitThrowsClosed() async throws {
        try await withTerminal { _, program in
            let waiting = LoopTask { for try await _ in program.terminal.sizes {} }
            try await until { waiting.isWaiting }
            try await program.close()
            await expectCode(.closed) { try await waiting.value }
        }
    }

    @Test func cancelDuringTheWaitLeavesNothing() async throws {
        try await withTerminal { controller, program in
            let size = try program.terminal.size()
            let waiting = LoopTask { try await program.terminal.waitForSize(otherThan: size) }
            try await until { waiting.isWaiting }
            waiting.cancel()
            await #expect(throws: CancelledError.self) { try await waiting.value }
            try controller.terminal.setSize(TerminalSize(columns: 1, rows: 1))
            #expect(try await program.terminal.waitForSize(otherThan: size) == TerminalSize(columns: 1, rows: 1))
        }
    }
}
