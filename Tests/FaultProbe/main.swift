// A program for fault cases that need a process of their own: what it does depends on its first argument.
import AsyncUV
import Foundation

func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
}

final class Counter: @unchecked Sendable {
    // Sendable: used on one loop's thread only.
    var count = 0
}

// Top-level code is the main actor's: the closures here are what a program's first lines look like.
let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch arguments.first ?? "" {
    case "connects": try cancelledConnects(Int(arguments.last ?? "") ?? 1000)
    case "isolation": try closuresOfTheMainActor()
    case "main actor": try awaitTheMainActor()
    case "transfer": try transfer(to: arguments[1], bytes: Int(arguments[2]) ?? 0, limit: .seconds(Int(arguments[3]) ?? 60))
    case "silence": try silence(arguments[1])
    default: throw LoopError(.misuse, "FaultProbe", on: "\(arguments)", "no such mode")
    }
} catch {
    say("failed: \(error)")
    exit(1)
}
