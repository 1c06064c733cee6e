package config

// Nearest returns the word that a mistyped one most likely stands for, "" if none is near. Of
// two that are as near, it is the one that begins alike.
func Nearest(mistyped string, words []string) string {
	best, nearest := 1+min(2, len(mistyped)/2), ""
	for _, word := range words {
		d := distance(mistyped, word)
		if d < best || d == best && nearest != "" && alike(mistyped, word) > alike(mistyped, nearest) {
			best, nearest = d, word
		}
	}
	return nearest
}

// alike returns the length of what both begin with.
func alike(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// distance counts the characters that are missing, too much or wrong, or swapped with their
// neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
