import FuzzDriver
import Glibc

/// Has libFuzzer call `test` with inputs of its making, as the program's arguments say, and ends the program.
public func fuzz(_ test: @escaping ([UInt8]) -> Void) -> Never {
    current = test
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    let result = LLVMFuzzerRunDriver(&count, &arguments) { bytes, length in
        current(Array(UnsafeBufferPointer(start: bytes, count: length)))
        return 0
    }
    exit(result)
}

/// libFuzzer calls one function without a context, on one thread.
nonisolated(unsafe) private var current: ([UInt8]) -> Void = { _ in }

/// Ends the program, so that libFuzzer keeps the input, if `condition` is false.
public func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { fatalError(what()) }
}
