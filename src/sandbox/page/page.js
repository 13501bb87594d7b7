// The page comes with its own engineer.
