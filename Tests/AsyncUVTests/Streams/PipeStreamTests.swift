import Foundation
import Glibc
import Testing
import UVCore
@testable import AsyncUV

/// A pipe, for the time of `body`; fails if a buffer is not given back.
private func withPipe(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (_ reader: PipeStream, _ writer: PipeStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let (reader, writer) = try PipeStream.pair()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(reader, writer))
        } catch {
            result = .failure(error)
        }
        reader.abort()
        writer.abort()
        try await until(sourceLocation: sourceLocation) { reader.loop.chunks.taken == 0 }
        #expect(reader.loop.outstanding == 0, sourceLocation: sourceLocation)
        try result.get()
    }
}

extension LoopStream {
    /// Writes until a write has to wait, and gives back the task that does. What it sends is a count of bytes, modulo 251.
    fileprivate func writeUntilFull(_ sent: Shared<Int>) async throws -> LoopTask<Void> {
        let writer = LoopTask {
            while true {
                try await self.write((0..<10_000).map { UInt8((sent.value + $0) % 251) })
                sent.value += 10_000
            }
        }
        try await until { writer.isWaiting }
        return writer
    }
}

private func scratchFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("asyncuv-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

private func makeNamedPipe(in folder: URL) throws -> String {
    let path = folder.appendingPathComponent("pipe").path
    let result = unsafe mkfifo(path, 0o600)
    try #require(result == 0)
    return path
}

@Suite struct PipeStreamTests {
    @Test func whatIsWrittenIsReadInOrderAndThenComesTheEnd() async throws {
        try await withPipe { reader, writer in
            try await writer.write("hello ".utf8)
            try await writer.write("world".utf8)
            try await writer.close()
            #expect(try await reader.read(exactly: 6) == Array("hello ".utf8))
            #expect(try await reader.read() == Array("world".utf8))
            #expect(try await reader.read() == nil)
            #expect(try await reader.read() == nil)
        }
    }

    @Test func fault40_singleBytesArriveAsOneStream() async throws {
        try await withPipe { reader, writer in
            let expected = counted(0..<2_000)
            let sending = LoopTask {
                for byte in expected { try await writer.write([byte]) }
                try writer.closeWrite()
            }
            var received: [UInt8] = []
            while let byte = try await reader.read(atMost: 1) { received += byte }
            #expect(received == expected)
            try await sending.value
        }
    }

    @Test func sixteenMebibytesGoThroughUnchanged() async throws {
        try await withPipe { reader, writer in
            let total = 16 << 20
            // Repeats itself after a number of bytes that no buffer's size divides.
            let pattern = counted(0..<65_521)
            let repeated = pattern + pattern + pattern
            let sending = LoopTask {
                var left = total
                while left > 0 {
                    try await writer.write(Array(pattern.prefix(left)))
                    left -= min(left, pattern.count)
                }
                try writer.closeWrite()
            }
            var position = 0, differs = false
            while let bytes = try await reader.read() {
                let start = position % pattern.count
                differs = differs || bytes != Array(repeated[start..<(start + bytes.count)])
                position += bytes.count
            }
            #expect(position == total)
            #expect(!differs)
            try await sending.value
        }
    }

    @Test func cancelDuringReadLosesNothing() async throws {
        try await withPipe { reader, writer in
            let reading = LoopTask { try await reader.read() }
            try await until { reading.isWaiting }
            reading.cancel()
            await #expect(throws: CancelledError.self) { try await reading.value }
            try await writer.write([1, 2, 3])
            #expect(try await reader.read() == [1, 2, 3])
        }
    }

    @Test func closeDuringReadThrowsClosed() async throws {
        try await withPipe { reader, _ in
            let reading = LoopTask { try await reader.read() }
            try await until { reading.isWaiting }
            try await reader.close()
            await expectCode(.closed) { try await reading.value }
        }
    }

    @Test func aCancelledWriteHasSentNothing() async throws {
        try await withPipe { reader, writer in
            let sent = Shared(0)
            let writing = try await writer.writeUntilFull(sent)
            writing.cancel()
            await #expect(throws: CancelledError.self) { try await writing.value }
            let closing = LoopTask { try await writer.close() }
            var position = 0
            while let bytes = try await reader.read() {
                #expect(bytes == (position..<(position + bytes.count)).map { UInt8($0 % 251) })
                position += bytes.count
            }
            #expect(position == sent.value)
            try await closing.value
        }
    }

    @Test func closeDuringWriteThrowsClosedAndSendsWhatWasAdmitted() async throws {
        try await withPipe { reader, writer in
            let sent = Shared(0)
            let writing = try await writer.writeUntilFull(sent)
            let closing = LoopTask { try await writer.close() }
            await expectCode(.closed) { try await writing.value }
            var position = 0
            while let bytes = try await reader.read() { position += bytes.count }
            #expect(position == sent.value)
            try await closing.value
        }
    }

    @Test func fault34_aReaderThatIsGoneIsAnErrorToTheWriterAndNoSignal() async throws {
        try await withPipe { reader, writer in
            try await reader.close()
            let error = await #expect(throws: LoopError.self) { try await writer.write([1]) }
            #expect(error?.code == .connectionLost)
            #expect(error?.systemCode == EPIPE)
            await expectCode(.connectionLost) { try await writer.write([1]) }
        }
    }

    @Test func fault34_aReaderThatGoesWhileAWriteWaitsIsAnErrorToo() async throws {
        try await withPipe { reader, writer in
            let writing = try await writer.writeUntilFull(Shared(0))
            reader.abort()
            await expectCode(.connectionLost) { try await writing.value }
        }
    }

    @Test func closeWriteIsTheEndOfAWritingEnd() async throws {
        try await withPipe { reader, writer in
            try await writer.write([1])
            try writer.closeWrite()
            try writer.closeWrite()
            #expect(writer.isClosing)
            await expectCode(.closed) { try await writer.write([2]) }
            #expect(try await reader.read() == [1])
            #expect(try await reader.read() == nil)
        }
    }

    @Test func closeWriteSendsWhatWasAdmittedFirst() async throws {
        try await withPipe { reader, writer in
            try writer.setHighWaterMark(1 << 20)
            try await writer.write(counted(0..<500_000))
            try writer.closeWrite()
            #expect(try await reader.read(exactly: 500_000) == counted(0..<500_000))
            #expect(try await reader.read() == nil)
            try await until { writer.isClosing }
        }
    }

    @Test func theOtherDirectionIsMisuse() async throws {
        try await withPipe { reader, writer in
            await expectCode(.misuse) { try await reader.write([1]) }
            await expectCode(.misuse) { try reader.closeWrite() }
            await expectCode(.misuse) { try await writer.read() }
            await expectCode(.misuse) { try await writer.read(exactly: 1) }
            await expectCode(.misuse) { try await writer.withBytes { $0.count } }
            #expect(reader.isReadable && !reader.isWritable && writer.isWritable && !writer.isReadable)
        }
    }

    @Test func fault18_everyCallAfterCloseSaysSo() async throws {
        try await withPipe { reader, writer in
            try await reader.close()
            try await writer.close()
            await expectCode(.closed) { try await reader.read() }
            await expectCode(.closed) { try await reader.read(exactly: 1) }
            await expectCode(.closed) { try await reader.withBytes { $0.count } }
            await expectCode(.closed) { try await writer.write([1]) }
            await expectCode(.closed) { try await writer.write(parts: [[1], [2]]) }
            await expectCode(.closed) { try writer.tryWrite([1].span) }
            await expectCode(.closed) { try writer.closeWrite() }
            await expectCode(.closed) { try writer.setHighWaterMark(1) }
            try await writer.flush()
            for stream in [reader, writer] {
                stream.abort()
                try await stream.close()
                try await stream.waitClosed()
            }
        }
    }

    @Test func fault20_anEndThatAnotherThreadLetsGoOfIsClosedOnTheLoop() async throws {
        try await withLoop(clock: .system) {
            guard let loop = EventLoop.current else { return }
            let reports = Log()
            loop.setReportHandler { reports($0.description) }
            var ends: (reader: PipeStream, writer: PipeStream)? = try PipeStream.pair()
            let reader = try #require(ends?.reader)
            let box = Shared(ends?.writer)
            ends = nil
            let thread = Thread { box.value = nil }
            thread.start()
            #expect(try await reader.read() == nil)
            #expect(reports.entries.count == 1 && reports.entries.first?.contains("never closed") == true)
            try await reader.close()
        }
    }

    @Test func anEndCanBeMadeOnItsOwnLoopsThreadOnly() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            await expectCode(.misuse) { try await onOwnThread { _ = try PipeStream.pair(on: loop) } }
            await expectCode(.closed) {
                try await onOwnThread {
                    let other = try EventLoop()
                    try other.close()
                    _ = try PipeStream.pair(on: other)
                }
            }
        }
    }

    // MARK: named pipes

    @Test func aNamedPipeIsReadFromAndWrittenTo() async throws {
        let folder = try scratchFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try makeNamedPipe(in: folder)
        try await withLoop(clock: .system) {
            let none = #expect(throws: LoopError.self) { try PipeStream.open(path, for: .writing) }
            #expect(none?.systemCode == ENXIO)
            let reader = try PipeStream.open(path, for: .reading)
            let reading = LoopTask { try await reader.read() }
            try await until { reading.isWaiting }
            let writer = try PipeStream.open(path, for: .writing)
            try await writer.write([1, 2])
            #expect(try await reading.value == [1, 2])
            try await writer.close()
            #expect(try await reader.read() == nil)
            try await reader.close()
        }
    }

    @Test func whatIsNoPipeIsRefused() async throws {
        let folder = try scratchFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try await withLoop {
            await expectCode(.misuse) { try PipeStream.open("/dev/null", for: .reading) }
            await expectCode(.misuse) { try PipeStream.open(folder.path, for: .reading) }
            let missing = #expect(throws: LoopError.self) { try PipeStream.open(folder.path + "/none", for: .reading) }
            #expect(missing?.systemCode == ENOENT && missing?.subject == folder.path + "/none")
        }
    }

    // MARK: inherited ones

    @Test func anAdoptedPipeIsItsOwnAndNothingChangesForTheOthers() async throws {
        try await withLoop(clock: .system) {
            let pipe = Pipe()
            let shared = pipe.fileHandleForReading.fileDescriptor
            let reader = try PipeStream.adopt(descriptor: dup(shared))
            let writer = try PipeStream.adopt(descriptor: dup(pipe.fileHandleForWriting.fileDescriptor))
            #expect(reader.isReadable && !reader.isWritable && writer.isWritable && !writer.isReadable)
            #expect(fcntl(shared, F_GETFL) & O_NONBLOCK == 0)
            try await writer.write([7, 8])
            #expect(try await reader.read() == [7, 8])
            try await writer.close()
            try pipe.fileHandleForWriting.close()
            #expect(try await reader.read() == nil)
            try await reader.close()
        }
    }

    @Test func aWritingEndWithoutAReaderCanStillBeAdopted() async throws {
        try await withLoop(clock: .system) {
            let pipe = Pipe()
            let writer = try PipeStream.adopt(descriptor: dup(pipe.fileHandleForWriting.fileDescriptor))
            try pipe.fileHandleForReading.close()
            await expectCode(.connectionLost) { try await writer.write([1]) }
            try await writer.close()
            let another = try PipeStream.adopt(descriptor: dup(pipe.fileHandleForWriting.fileDescriptor))
            await expectCode(.connectionLost) { try await another.write([1]) }
            try await another.close()
        }
    }

    @Test func aDescriptorThatIsNoPipeStaysTheCallers() async throws {
        try await withLoop {
            let file = try #require(FileHandle(forReadingAtPath: CommandLine.arguments[0]))
            await expectCode(.misuse) { try PipeStream.adopt(descriptor: file.fileDescriptor) }
            #expect(fcntl(file.fileDescriptor, F_GETFD) >= 0)
            let none = #expect(throws: LoopError.self) { try PipeStream.adopt(descriptor: 1_000_000) }
            #expect(none?.systemCode == EBADF)
        }
    }
}
