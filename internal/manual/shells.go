package manual

import (
	"fmt"
	"strings"
)

// Bash returns the completions for bash.
func (m Manual) Bash() string {
	var b strings.Builder
	b.WriteString("# Completions of rsyncd_exporter for bash, made by \"rsyncd_exporter help --bash\".\n" +
		"_rsyncd_exporter() {\n\tlocal current=$2 flag= words= command=" + m.Commands[0].Name + " settings='" +
		strings.Join(m.settingFlags(), " ") + "'\n")
	b.WriteString("\tCOMPREPLY=()\n" +
		"\t[[ $COMP_CWORD -eq 1 || ${COMP_WORDS[1]} == -* ]] || command=${COMP_WORDS[1]}\n" +
		"\t# readline breaks words at \"=\", so --name=value arrives as three.\n" +
		"\tif [[ $current == = ]]; then\n\t\tflag=${COMP_WORDS[COMP_CWORD - 1]} current=\n" +
		"\telif [[ ${COMP_WORDS[COMP_CWORD - 1]} == = && $COMP_CWORD -gt 2 ]]; then\n" +
		"\t\tflag=${COMP_WORDS[COMP_CWORD - 2]}\n\tfi\n" +
		"\tcase $command:$flag in\n")
	for _, c := range m.Commands {
		for _, o := range c.options(m.Settings) {
			if values := o.choices(); len(values) > 0 {
				fmt.Fprintf(&b, "\t%s:%s) words='%s' ;;\n", c.Name, o.name, strings.Join(values, " "))
			}
		}
	}
	for _, c := range m.Commands {
		var flags []string
		for _, o := range c.options(m.Settings) {
			flags = append(flags, o.typed())
		}
		list := "'" + strings.Join(flags, " ") + "'"
		if c.Settings {
			list += `" $settings"`
		}
		fmt.Fprintf(&b, "\t%s:) words=%s ;;\n", c.Name, list)
	}
	fmt.Fprintf(&b, "\tesac\n\t[[ $COMP_CWORD -ne 1 || $current == -* ]] || words='%s'\n", strings.Join(m.names(), " "))
	b.WriteString("\t# Only what begins with a hyphen is a flag; files come from -o default.\n" +
		"\t[[ $COMP_CWORD -eq 1 || -n $flag || $current == -* ]] || return 0\n" +
		"\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n" +
		"\t[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace\n" +
		"}\ncomplete -o default -F _rsyncd_exporter rsyncd_exporter\n")
	return b.String()
}

// Zsh returns the completions for zsh.
func (m Manual) Zsh() string {
	var b strings.Builder
	b.WriteString("#compdef rsyncd_exporter\n# Completions for zsh, made by \"rsyncd_exporter help --zsh\".\n" +
		"local -a commands settings flags\ncommands=(\n")
	for _, c := range m.Commands {
		fmt.Fprintf(&b, "\t%s\n", quoted(c.Name+":"+c.Summary))
	}
	b.WriteString(")\nsettings=(\n")
	for _, s := range m.Settings {
		fmt.Fprintf(&b, "\t%s\n", quoted(s.Flag+"=["+zshText(s.Meaning)+"]:value:_files"))
	}
	for _, l := range m.Legacy {
		fmt.Fprintf(&b, "\t%s\n", quoted("-"+l.Name+"["+zshText(l.Meaning)+"]:"+l.Arg+":_files"))
	}
	b.WriteString(")\n" +
		"if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n\t_describe command commands\n\treturn\nfi\n" +
		"if [[ $words[2] == -* ]]; then\n\t_arguments : $settings\n\treturn\nfi\n" +
		"case $words[2] in\n")
	for _, c := range m.Commands {
		fmt.Fprintf(&b, "%s)\n\tflags=(\n", c.Name)
		for _, o := range c.options(m.Settings) {
			fmt.Fprintf(&b, "\t\t%s\n", quoted(o.zsh()))
		}
		b.WriteString("\t)\n")
		if c.Settings {
			b.WriteString("\tflags+=($settings)\n")
		}
		b.WriteString("\t;;\n")
	}
	b.WriteString("esac\nshift words\n(( CURRENT-- ))\n_arguments : $flags '*:file:_files'\n")
	return b.String()
}

// Fish returns the completions for fish.
func (m Manual) Fish() string {
	var b strings.Builder
	b.WriteString("# Completions for fish, made by \"rsyncd_exporter help --fish\".\n")
	var settings []string // the commands that take settings
	for _, c := range m.Commands {
		fmt.Fprintf(&b, "complete -c rsyncd_exporter -n __fish_use_subcommand -f -a %s -d %s\n", c.Name,
			fish(c.Summary))
		if c.Settings {
			settings = append(settings, c.Name)
		}
		for _, o := range c.options(m.Settings) {
			fmt.Fprintf(&b, "complete -c rsyncd_exporter -n '__fish_seen_subcommand_from %s'%s\n", c.Name, o.fish())
		}
	}
	// Without a command it serves.
	seen := "__fish_seen_subcommand_from " + strings.Join(settings, " ")
	for _, condition := range []string{seen, "__fish_use_subcommand"} {
		for _, s := range m.Settings {
			fmt.Fprintf(&b, "complete -c rsyncd_exporter -n '%s' -l %s -r -d %s\n", condition,
				strings.TrimPrefix(s.Flag, "--"), fish(s.Meaning))
		}
	}
	return b.String()
}

func (m Manual) names() (names []string) {
	for _, c := range m.Commands {
		names = append(names, c.Name)
	}
	return names
}

// settingFlags returns what one types to give a setting.
func (m Manual) settingFlags() (flags []string) {
	for _, s := range m.Settings {
		flags = append(flags, s.Flag+"=")
	}
	for _, l := range m.Legacy {
		flags = append(flags, "-"+l.Name)
	}
	return flags
}

// typed returns what one types to give the flag, before its value.
func (o option) typed() string {
	if o.equals {
		return o.name + "="
	}
	return o.name
}

// zsh returns the flag as _arguments takes it.
func (o option) zsh() string {
	spec := "*" + o.typed() + "[" + zshText(o.meaning) + "]"
	switch {
	case o.value == "" && !o.equals:
		return spec[1:]
	case o.choices() != nil:
		return spec + ":value:(" + strings.Join(o.choices(), " ") + ")"
	}
	return spec + ":" + zshText(o.value) + ":_files"
}

// fish returns the flag as arguments of complete.
func (o option) fish() string {
	args := " -l " + strings.TrimPrefix(o.name, "--")
	if !strings.HasPrefix(o.name, "--") {
		args = " -s " + strings.TrimPrefix(o.name, "-")
	}
	switch {
	case o.choices() != nil:
		args += " -x -a " + fish(strings.Join(o.choices(), " "))
	case o.value != "" || o.equals:
		args += " -r"
	}
	return args + " -d " + fish(o.meaning)
}

// zshText returns a text as it stands within a spec of _arguments.
func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

// quoted returns a word in single quotes for sh and its like.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fish returns a word in single quotes for fish, which knows backslashes there.
func fish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
